#!/usr/bin/env bash
# Assembles a Debian package from the release binary, without a packaging framework. Prints where
# the package is. STINT_BIN names a binary that is already built; otherwise the dist profile is built.
set -euo pipefail
cd "$(dirname "$0")/../.."

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
arch=$(dpkg --print-architecture)
target=$(cargo metadata --format-version 1 --no-deps --offline |
  sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
if [ -z "${STINT_BIN:-}" ]; then
  cargo build --locked --profile dist -p stint
  STINT_BIN=$target/dist/stint
fi

work=$target/deb
root=$work/root
rm -rf "$work"
mkdir -p "$root/DEBIAN"
chmod 0755 "$work" "$root" "$root/DEBIAN"
umask 022

install -D -m 0755 "$STINT_BIN" "$root/usr/bin/stint"
strip --strip-unneeded "$root/usr/bin/stint"
install -D -m 0644 deploy/systemd/stint.service "$root/usr/lib/systemd/system/stint.service"
install -D -m 0644 deploy/deb/stint.toml "$root/etc/stint/stint.toml"
install -D -m 0644 CHANGELOG.md "$root/usr/share/doc/stint/changelog"
gzip -9n "$root/usr/share/doc/stint/changelog"
{
  echo "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/"
  echo
  echo "Files: *"
  echo "Copyright: The Stint authors"
  echo "License: Apache-2.0"
  echo " On Debian systems the full text is in /usr/share/common-licenses/Apache-2.0."
} >"$root/usr/share/doc/stint/copyright"
chmod 0644 "$root/usr/share/doc/stint/copyright"
for shell in bash zsh fish; do
  case $shell in
    bash) to=usr/share/bash-completion/completions/stint ;;
    zsh) to=usr/share/zsh/vendor-completions/_stint ;;
    fish) to=usr/share/fish/vendor_completions.d/stint.fish ;;
  esac
  mkdir -p "$root/$(dirname "$to")"
  "$STINT_BIN" completion "$shell" >"$root/$to"
  chmod 0644 "$root/$to"
done

# What the binary is linked to, as Debian names it.
mkdir -p "$work/debian"
printf 'Source: stint\n\nPackage: stint\nArchitecture: any\n' >"$work/debian/control"
libraries=$(cd "$work" && dpkg-shlibdeps -O -e"$root/usr/bin/stint" 2>/dev/null |
  sed -n 's/^shlibs:Depends=//p')

cat >"$root/DEBIAN/control" <<CONTROL
Package: stint
Version: $version
Architecture: $arch
Maintainer: The Stint authors <stint@localhost>
Installed-Size: $(du -sk --exclude=DEBIAN "$root" | cut -f1)
Depends: ${libraries:-libc6}, adduser, ca-certificates
Recommends: python3, nodejs
Suggests: ffmpeg
Section: admin
Priority: optional
Description: platform for serverless jobs
 Stint runs functions in sandboxed instances that start in milliseconds, keeps
 tens of thousands of durable tasks a second, and a history one can search,
 explain and replay. It speaks the Function Compute API, so that the official
 SDKs are its client libraries.
CONTROL
echo /etc/stint/stint.toml >"$root/DEBIAN/conffiles"
install -m 0755 deploy/deb/postinst deploy/deb/prerm deploy/deb/postrm "$root/DEBIAN/"
(cd "$root" && find usr etc -type f -print0 | sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
chmod 0644 "$root/DEBIAN/control" "$root/DEBIAN/conffiles" "$root/DEBIAN/md5sums"

package=$work/stint_${version}_$arch.deb
dpkg-deb --root-owner-group --build "$root" "$package" >/dev/null
echo "$package"
