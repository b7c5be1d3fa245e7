# Two targets; everything else of the developer's loop is `cargo xtask`.
.PHONY: run test

# Starts Stint with its embedded store, puts a real video through it and shows where to look.
# STINT_KEEP=1 leaves Stint running in the foreground afterwards.
run:
	scripts/run.sh

# Everything that must hold: format, lints, house rules, tests, black-box tests of the real binary.
test:
	scripts/setup.sh
	cargo xtask ci
