#!/bin/sh
# Install or update the Z-Wave server on Debian 12, Debian 13 or Raspberry Pi OS. Running it twice does no harm.
set -eu

TARGET=/opt/meterkast/zwave
UNIT=/etc/systemd/system/meterkast-zwave.service
RULE=/etc/udev/rules.d/60-meterkast-zwave.rules
MODULES=/etc/modules-load.d/meterkast-zwave.conf
ACCOUNT=meterkast-zwave
GATEWAY=meterkast
OLDEST_NODE=20
# The modules of USB ports: systemd allows a kind of device only if its module is loaded before the service starts.
PORT_MODULES='cdc_acm
cp210x
usbserial'

usage() {
    cat <<END
usage: install.sh [--check] [--gateway-user NAME]
  --check              say what would be done, and do nothing
  --gateway-user NAME  who may use the server's socket (default: $GATEWAY)
END
}

check=no
while [ $# -gt 0 ]; do
    case $1 in
        --check) check=yes ;;
        --gateway-user)
            [ $# -ge 2 ] || { usage >&2; exit 2; }
            GATEWAY=$2
            shift
            ;;
        -h | --help) usage; exit 0 ;;
        *) usage >&2; exit 2 ;;
    esac
    shift
done

root=$(cd "$(dirname "$0")/../.." && pwd)
service=$root/drivers/meterkast_drivers/zwave/service
unit=$root/deploy/zwave/meterkast-zwave.service
rule=$root/hardware/udev/60-meterkast-zwave.rules

fail() {
    echo "install.sh: $1" >&2
    exit 1
}

# Do a step, or only name it.
step() {
    if [ "$check" = yes ]; then
        echo "would run: $*"
    else
        "$@"
    fi
}

# Copy a file unless it is there already.
put() {
    if ! cmp -s "$1" "$2"; then
        step install -D -o root -g root -m 0644 "$1" "$2"
        changed=yes
    fi
}

node_is_new_enough() {
    version=$(/usr/bin/node --version 2>/dev/null) || return 1
    major=${version#v}
    [ "${major%%.*}" -ge "$OLDEST_NODE" ]
}

if [ "$check" = no ] && [ "$(id -u)" != 0 ]; then
    fail "run it as root: sudo $0"
fi
for file in "$service/server.mjs" "$service/package-lock.json" "$unit" "$rule"; do
    [ -f "$file" ] || fail "$file is missing: run this from a complete copy of Meterkast"
done
command -v systemctl >/dev/null || fail "this system has no systemd: start server.mjs in another way"

if ! node_is_new_enough || ! command -v npm >/dev/null; then
    # shellcheck source=/dev/null
    . /etc/os-release
    if [ "${VERSION_ID:-0}" -lt 13 ] 2>/dev/null; then
        fail "Node.js $OLDEST_NODE or newer with npm is needed as /usr/bin/node, and Debian ${VERSION_ID:-} has an \
older one. Upgrade to Debian 13, or add a package source of Node.js, and run this again."
    fi
    step apt-get install --yes --no-install-recommends nodejs npm
fi

if ! getent passwd "$ACCOUNT" >/dev/null; then
    step useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin "$ACCOUNT"
fi
if getent passwd "$GATEWAY" >/dev/null; then
    id -nG "$GATEWAY" | tr ' ' '\n' | grep -qx "$ACCOUNT" || step usermod --append --groups "$ACCOUNT" "$GATEWAY"
else
    echo "There is no user $GATEWAY yet. When there is: usermod --append --groups $ACCOUNT $GATEWAY"
fi

changed=no
put "$rule" "$RULE"
if [ "$changed" = yes ]; then
    step udevadm control --reload
    step udevadm trigger --subsystem-match=tty --action=change
fi

if [ "$check" = yes ]; then
    echo "would load now and at each start, through $MODULES: $(echo "$PORT_MODULES" | tr '\n' ' ')"
else
    echo "$PORT_MODULES" >"$MODULES"
    systemctl restart systemd-modules-load.service || echo "This kernel lacks a module of $MODULES; that may be right."
fi

changed=no
for file in "$service"/*.mjs "$service"/package.json "$service"/package-lock.json "$root/hardware/zwave.md"; do
    put "$file" "$TARGET/${file##*/}"
done
# npm writes this file last, when everything else is in place.
if [ "$changed" = yes ] || ! [ -f "$TARGET/node_modules/.package-lock.json" ]; then
    step npm ci --prefix "$TARGET" --omit=dev --ignore-scripts --no-audit --no-fund
    changed=yes
fi
put "$unit" "$UNIT"
if [ "$changed" = yes ]; then
    step systemctl daemon-reload
    step systemctl enable --quiet meterkast-zwave.service
    step systemctl restart meterkast-zwave.service
fi

if ! [ -e /dev/meterkast-zwave ]; then
    echo "No stick was recognised as /dev/meterkast-zwave. See hardware/zwave.md, 'The path of the stick'."
fi
if [ "$check" = no ]; then
    echo "Done. In meterkast.toml: [drivers.zwave] server = \"/run/meterkast-zwave/zwave.sock\""
    echo "What the server says: journalctl -u meterkast-zwave -f"
fi
