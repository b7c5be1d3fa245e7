# The loop of the bash runtime: polls the local runtime API, runs the handler's script, posts what came of
# it. The event is the script's standard input, its standard output is the result, its standard error the
# log; an exit status other than 0 is a failure whose message is the end of standard error.
#
# Takes bash 4.4 and coreutils. HTTP goes over bash's own sockets; bodies pass through files, because a
# shell variable cannot hold every byte.

base=/2020-11-11/runtime
code=${FC_FUNC_CODE_PATH:-/code}
work=${TMPDIR:-/tmp}/.stint
message_bytes_max=2048
message_lines_max=10
# How long whoever kept standard error open may hold the answer up: in steps of 5 ms.
linger_steps=200

declare -A headers

# Asks the API; the answer's headers are in `headers`, its body in $work/event.
call() {
  local method=$1 path=$2 file=${3-} line name length
  if [[ -n $file ]]; then
    length=$(stat -c %s -- "$file")
    printf '%s %s/%s HTTP/1.1\r\nhost: %s\r\ncontent-length: %d\r\n\r\n' \
      "$method" "$base" "$path" "$FC_RUNTIME_API" "$length" >&7
    cat -- "$file" >&7
  else
    printf '%s %s/%s HTTP/1.1\r\nhost: %s\r\n\r\n' "$method" "$base" "$path" "$FC_RUNTIME_API" >&7
  fi
  # Without the node there is nothing to do.
  IFS= read -r line <&7 || exit 0
  headers=()
  while IFS= read -r line <&7; do
    line=${line%$'\r'}
    [[ -n $line ]] || break
    name=${line%%:*}
    line=${line#*:}
    headers[${name,,}]=${line# }
  done
  head -c "${headers[content-length]:-0}" <&7 >"$work/event"
}

# A text as a JSON string.
quoted() {
  local text=$1
  text=${text//\\/\\\\}
  text=${text//\"/\\\"}
  text=${text//$'\n'/\\n}
  text=${text//$'\r'/\\r}
  text=${text//$'\t'/\\t}
  printf '"%s"' "${text//[[:cntrl:]]/ }"
}

# Writes an error body to $work/failure.
describe() {
  printf '{"errorMessage":%s,"errorType":%s,"stackTrace":[],"exitCode":%d}' \
    "$(quoted "$1")" "$(quoted "$2")" "$3" >"$work/failure"
}

# The end of what a script said on standard error.
last_words() {
  tail -c "$message_bytes_max" "$work/errors" | tail -n "$message_lines_max" |
    iconv -c -f utf-8 -t utf-8 2>/dev/null
}

# Runs a script of the package on $work/event; its exit status. What it leaves running may keep standard
# error open; that is waited for only a moment.
run() {
  local status tee step
  # Not as the command's own redirection: that is made in the command's process, and `$!` would not be ours.
  exec 9> >(exec tee "$work/errors" >&2 7>&- 8>&-)
  tee=$!
  "$BASH" -- "$1" <"$work/event" >"$work/result" 2>&9 7>&- 8>&- 9>&-
  status=$?
  exec 9>&-
  for ((step = 0; step < linger_steps; step++)); do
    kill -0 "$tee" 2>/dev/null || return "$status"
    read -r -t 0.005 -u 8
  done
  kill "$tee" 2>/dev/null
  return "$status"
}

# Runs it and posts the outcome.
serve() {
  local id=$1 script=$2 status message
  if [[ ! -f $code/$script ]]; then
    describe "The script '$script' is not in the package" HandlerNotFound 127
    call POST "invocation/$id/error" "$work/failure"
    return
  fi
  : >"$work/errors"
  run "$code/$script"
  status=$?
  if ((status == 0)); then
    call POST "invocation/$id/response" "$work/result"
    return
  fi
  message=$(last_words)
  describe "${message:-The script ended with status $status}" ExitStatus "$status"
  call POST "invocation/$id/error" "$work/failure"
}

# Says that the function cannot start, and ends.
refuse() {
  describe "$1" "$2" 1
  printf '%s\n' "$1" >&2
  call POST init/error "$work/failure"
  exit 1
}

mkdir -p -m 0700 "$work" || exit 1
# Never readable: a way to wait without a process.
mkfifo -m 0600 "$work/never" && exec 8<>"$work/never" || exit 1
exec 7<>"/dev/tcp/${FC_RUNTIME_API%:*}/${FC_RUNTIME_API##*:}" || exit 1
cd -- "$code" 2>/dev/null

handler=$FC_FUNCTION_HANDLER
[[ -f $code/$handler ]] || refuse "Unable to import module '$handler'" ImportModuleError
problem=$("$BASH" -n -- "$code/$handler" 2>&1) ||
  refuse "Syntax error in module '$handler': $problem" UserCodeSyntaxError

while :; do
  call GET invocation/next
  export FC_REQUEST_ID=${headers[x-fc-request-id]} FC_TASK_ID=${headers[x-fc-async-task-id]} \
    FC_RETRY_COUNT=${headers[x-fc-retry-count]} FC_QUALIFIER=${headers[x-fc-qualifier]} \
    FC_DEADLINE_MS=${headers[x-fc-function-deadline]} FC_TIMEOUT=${headers[x-fc-function-timeout]} \
    FC_IDEMPOTENCY_KEY=${headers[x-stint-idempotency-key]}
  if [[ ${headers[x-fc-function-type]} == 0 ]]; then
    serve "$FC_REQUEST_ID" "$handler"
  else
    serve "$FC_REQUEST_ID" "${headers[x-stint-hook-handler]}"
  fi
done
