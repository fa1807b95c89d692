#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Installs the plugin, and the module of mosquitto_ctrl, beside a Mosquitto that is here already, whatever
# the distribution.
#
#   ./install.sh                     into the place given below
#   ./install.sh --remove            takes that away; the node's state stays
#   ./install.sh --remove --purge    and the state, with the node's identity
#
# Places, from the environment:
#   DESTDIR    put before all of them                     (none)
#   PLUGINDIR  where the plugin and the module go         (/usr/local/lib)
#   CONFDIR    where Mosquitto includes *.conf from       (/etc/mosquitto/conf.d)
#   STATEDIR   the node's state                           (/var/lib/mosquitto/p2panda)
#   BROKERUSER whose the state is                         (mosquitto)
#
# Restarts nothing: what is to be done then is said at the end.
set -eu

PLUGINDIR=${PLUGINDIR:-/usr/local/lib}
CONFDIR=${CONFDIR:-/etc/mosquitto/conf.d}
STATEDIR=${STATEDIR:-/var/lib/mosquitto/p2panda}
BROKERUSER=${BROKERUSER:-mosquitto}
DESTDIR=${DESTDIR:-}
plugin=$PLUGINDIR/mosquitto_p2panda.so
conf=$CONFDIR/p2panda.conf
module=$PLUGINDIR/mosquitto_ctrl_p2panda.so
man=/usr/local/share/man/man7/mosquitto_p2panda.7
man_ctrl=/usr/local/share/man/man1/mosquitto_ctrl_p2panda.1
share=/usr/local/share/mosquitto-p2panda
here=$(cd "$(dirname "$0")" && pwd)

die() { echo "install.sh: $*" >&2; exit 1; }

remove=
purge=
for word in "$@"; do
	case $word in
	--remove) remove=yes ;;
	--purge) purge=yes ;;
	*) sed -n '3,/^$/s/^# \{0,1\}//p' "$0"; exit 2 ;;
	esac
done

if [ -n "$remove" ]; then
	# A broker whose configuration names a plugin that is gone does not start.
	[ ! -f "$DESTDIR$conf" ] || mv "$DESTDIR$conf" "$DESTDIR$conf.removed"
	rm -f "$DESTDIR$plugin" "$DESTDIR$module" "$DESTDIR$man" "$DESTDIR$man_ctrl"
	rm -rf "$DESTDIR$share"
	if [ -n "$purge" ]; then
		rm -f "$DESTDIR$conf.removed"
		rm -rf "$DESTDIR$STATEDIR"
	fi
	echo "Removed. Now restart Mosquitto."
	exit 0
fi

# One file is for one C library and one kind of machine.
case $(uname -m) in
x86_64) machine=amd64 ;;
aarch64) machine=arm64 ;;
*) die "there is no plugin for $(uname -m)" ;;
esac
libc=glibc
for loader in "$DESTDIR"/lib/ld-musl-*; do
	[ ! -e "$loader" ] || [ -e "$DESTDIR/etc/debian_version" ] || libc=musl
done
file=$here/$libc-$machine/mosquitto_p2panda.so
[ -f "$file" ] || die "this archive has no plugin for $libc on $machine"

mkdir -p "$DESTDIR$PLUGINDIR" "$DESTDIR$CONFDIR" "$DESTDIR${man%/*}" "$DESTDIR${man_ctrl%/*}"
# Not written over the old one, which a broker may have in use.
cp "$file" "$DESTDIR$plugin.new"
chmod 644 "$DESTDIR$plugin.new"
mv "$DESTDIR$plugin.new" "$DESTDIR$plugin"
cp "${file%/*}/mosquitto_ctrl_p2panda.so" "$DESTDIR$module"
chmod 644 "$DESTDIR$module"
cp "$here/mosquitto_p2panda.7" "$DESTDIR$man"
cp "$here/mosquitto_ctrl_p2panda.1" "$DESTDIR$man_ctrl"
mkdir -p "$DESTDIR$share"
rm -rf "$DESTDIR$share/page"
cp -r "$here/page" "$DESTDIR$share/page"
if [ ! -e "$DESTDIR$conf" ] && [ -e "$DESTDIR$conf.removed" ]; then
	mv "$DESTDIR$conf.removed" "$DESTDIR$conf"
elif [ ! -e "$DESTDIR$conf" ]; then
	sed -e "s,@P2PANDA_PLUGIN_PATH@,$plugin,; s,/var/lib/mosquitto/p2panda,$STATEDIR," "$here/p2panda.conf.in" \
		>"$DESTDIR$conf"
fi
if [ ! -d "$DESTDIR$STATEDIR" ]; then
	mkdir -p "$DESTDIR$STATEDIR"
	chmod 700 "$DESTDIR$STATEDIR"
	if [ "$(id -u)" = 0 ] && id "$BROKERUSER" >/dev/null 2>&1; then
		chown "$BROKERUSER:" "$DESTDIR$STATEDIR"
	fi
fi
cat <<EOF
Installed $plugin and $conf.
Mosquitto reads that when its configuration has the line

    include_dir $CONFDIR

(as Debian's has); else put the two lines of $conf into mosquitto.conf. Then restart Mosquitto.

mosquitto_ctrl finds its module only where the system looks for libraries, or by

    LD_LIBRARY_PATH=$PLUGINDIR mosquitto_ctrl p2panda help
EOF
