#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# The one-shot service `keys` of compose.yaml: gives each broker an identity
# and a configuration that names the others as peers. Its arguments are service
# names; the volume of broker <name> is mounted at /brokers/<name>. An identity
# that is there already is kept, a configuration is written anew each time.
set -eu
umask 077

for name in "$@"; do
	key=/brokers/$name/identity.pem
	if [ ! -e "$key" ]; then
		# Never a half-written key under the name that the broker looks for.
		openssl genpkey -algorithm ed25519 -out "$key.new"
		mv "$key.new" "$key"
	fi
done

# The node id: the raw public key, the last 32 bytes of its DER form, in hex.
node_id() {
	openssl pkey -in "/brokers/$1/identity.pem" -pubout -outform DER |
		tail -c 32 | od -A n -t x1 -v | tr -d ' \n'
}

for name in "$@"; do
	conf=/brokers/$name/mosquitto.conf
	{
		# Compose publishes the ports, and on localhost only. The page (http_api) shows what it
		# hears by MQTT over WebSockets.
		echo "listener 9883"
		echo "protocol http_api"
		echo "http_dir /usr/local/share/mosquitto-p2panda/page"
		echo "listener 9001"
		echo "protocol websockets"
		sed 's/^listener 1883 127.0.0.1$/listener 1883/' /etc/mosquitto/mosquitto.conf
		echo "plugin_opt_identity_file /var/lib/mosquitto/identity.pem"
		for other in "$@"; do
			[ "$other" = "$name" ] || echo "plugin_opt_peer $(node_id "$other")@$other:2022"
		done
	} >"$conf.new"
	mv "$conf.new" "$conf"
	echo "broker $name is node $(node_id "$name")"
done
