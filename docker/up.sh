#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
set -eu

usage() {
	cat <<'EOF'
usage: docker/up.sh [up]      build the image, start two brokers, wait for them
       docker/up.sh down      remove what up made
       docker/up.sh --help

up needs Docker with compose (docker-compose 1.29 or compose v2). It makes sure of
the base image debian:forky-slim (docker/base-image.sh: there, else pulled, else
made from this machine's Debian mirror), builds the image mosquitto-p2panda from
this tree and starts the brokers a and b of docker/compose.yaml.

down removes the containers with their volumes (so the brokers' identities), the
network, the image and its build stage. It keeps the base image, which the tests
use too: docker image rm debian:forky-slim.

Environment: P2PANDA_PORT_A, P2PANDA_PORT_B   MQTT ports on localhost (1883, 1884)
             P2PANDA_PAGE_A, P2PANDA_PAGE_B   of the pages that show them (9883, 9884)
             P2PANDA_WS_A, P2PANDA_WS_B       of MQTT over WebSockets, for these (9001, 9002)
             COMPOSE_PROJECT_NAME             for a second pair beside the first
EOF
}

die() { echo "up.sh: $*" >&2; exit 1; }
say() { echo "up.sh: $*"; }

action=${1:-up}
[ $# -le 1 ] || action="$*"
case $action in
up | down) ;;
-h | --help) usage; exit 0 ;;
*) echo "up.sh: unknown argument '$action': accepted are up (the default), down, --help" >&2; exit 2 ;;
esac

here=$(cd "$(dirname "$0")" && pwd)
base=debian:forky-slim
image=mosquitto-p2panda
P2PANDA_PORT_A=${P2PANDA_PORT_A:-1883} P2PANDA_PORT_B=${P2PANDA_PORT_B:-1884}
P2PANDA_PAGE_A=${P2PANDA_PAGE_A:-9883} P2PANDA_PAGE_B=${P2PANDA_PAGE_B:-9884}
P2PANDA_WS_A=${P2PANDA_WS_A:-9001} P2PANDA_WS_B=${P2PANDA_WS_B:-9002}
COMPOSE_PROJECT_NAME=${COMPOSE_PROJECT_NAME:-mosquitto-p2panda}
export P2PANDA_PORT_A P2PANDA_PORT_B P2PANDA_PAGE_A P2PANDA_PAGE_B P2PANDA_WS_A P2PANDA_WS_B
export COMPOSE_PROJECT_NAME
# Each port with the one that it is in the container.
ports="PORT_A:1883 PORT_B:1883 PAGE_A:9883 PAGE_B:9883 WS_A:9001 WS_B:9001"
taken=
for one in $ports; do
	name=P2PANDA_${one%:*}
	eval "given=\$$name"
	port=$given
	case $port in
	'' | *[!0-9]* | ??????*) port=0 ;;
	esac
	{ [ "$port" -ge 1 ] && [ "$port" -le 65535 ]; } ||
		die "$name is '$given', which is not a port: accepted are 1 to 65535"
	case " $taken " in
	*" $port="*) other=${taken##* "$port="} && die "${other%% *} and $name are both $port" ;;
	esac
	taken="$taken $port=$name"
done

command -v docker >/dev/null 2>&1 || die "docker is not installed"
docker info >/dev/null 2>&1 ||
	die "the docker daemon does not answer (is it running, may this user reach it?)"

if docker compose version >/dev/null 2>&1; then
	compose() { docker compose -f "$here/compose.yaml" "$@"; }
elif command -v docker-compose >/dev/null 2>&1; then
	compose() { docker-compose -f "$here/compose.yaml" "$@"; }
else
	die "neither 'docker compose' nor docker-compose is installed"
fi

# Untagged images of ours: the build stage, which the legacy builder keeps (and
# uses for the next build), and images whose name a newer one has taken.
remove_untagged() {
	docker image prune -f --filter "label=mosquitto-p2panda.stage$1" >/dev/null 2>&1 || true
}

if [ "$action" = down ]; then
	compose down --volumes --remove-orphans --timeout 5
	if docker image inspect "$image" >/dev/null 2>&1; then
		docker image rm "$image" >/dev/null ||
			die "the image $image is in use elsewhere and was kept"
	fi
	remove_untagged ''
	say "removed the containers, volumes, network and the image $image; kept $base"
	exit 0
fi

# Whether something listens on this port of localhost, as far as that can be seen here.
is_taken() {
	case ${DOCKER_HOST:-unix://} in
	unix://*) ;;
	*) return 1 ;; # the ports are another machine's
	esac
	hex=$(printf %04X "$1")
	cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk -v port="$hex" '
		$4 == "0A" && $2 ~ "^(0100007F|0+|0+FFFF00000100007F):" port "$" { found = 1 }
		END { exit !found }'
}

for one in $ports; do
	name=P2PANDA_${one%:*}
	eval "port=\$$name"
	case $name in
	*_A) service=a ;;
	*) service=b ;;
	esac
	# Ours, when it is up already.
	ours=$(compose port "$service" "${one#*:}" 2>/dev/null) || ours=
	if [ "${ours##*:}" != "$port" ] && is_taken "$port"; then
		die "port $port of localhost is taken: choose another one with $name"
	fi
done

started=$(date +%s)
"$here/base-image.sh" "$base" >&2

failed() {
	{
		echo
		compose ps || true
		compose logs --no-color --tail 40 || true
		echo
	} >&2
	die "$*"
}

say "building the image $image (minutes the first time, then a second) and starting the brokers"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
if ! compose up --build --detach >"$log" 2>&1; then
	tail -n 60 "$log" >&2
	reason=$(grep -iE 'error|failed|cannot|denied' "$log" | grep -v 'Encountered errors' | tail -n 1)
	failed "compose could not build or start the brokers: ${reason:-$(tail -n 1 "$log")}"
fi

remove_untagged '=image'

# healthy, starting, unhealthy; the container's own state where it does not run.
health() {
	id=$(compose ps -q "$1" 2>/dev/null) || id=
	[ -n "$id" ] || { echo missing; return; }
	docker inspect --format \
		'{{if .State.Running}}{{.State.Health.Status}}{{else}}{{.State.Status}}{{end}}' "$id" \
		2>/dev/null || echo missing
}

last_words() {
	compose logs --no-color --tail 40 "$1" 2>/dev/null | grep '|' | sed 's/^[^|]*| *//' |
		grep -iE 'p2panda: |error' | tail -n 1
}

name_of() { docker inspect --format '{{.Name}}' "$(compose ps -q "$1")" | tr -d /; }

deadline=$(($(date +%s) + 60))
for broker in a b; do
	while state=$(health "$broker"); [ "$state" != healthy ]; do
		case $state in
		exited | dead | missing | unhealthy)
			failed "broker $broker is $state: $(last_words "$broker")" ;;
		esac
		[ "$(date +%s)" -lt "$deadline" ] ||
			failed "broker $broker is still $state after 60 s: $(last_words "$broker")"
		sleep 0.3
	done
done

a=$(name_of a)
b=$(name_of b)
down="docker/up.sh down"
[ "$COMPOSE_PROJECT_NAME" = mosquitto-p2panda ] || down="COMPOSE_PROJECT_NAME=$COMPOSE_PROJECT_NAME $down"
topic=p2panda/$(od -A n -t x1 -v -N 32 /dev/urandom | tr -d ' \n')
say "both brokers are healthy, $(($(date +%s) - started)) s after the start"
cat <<EOF

Subscribe at broker b, in one terminal:

  docker exec -it $b mosquitto_sub -v -t $topic

Publish at broker a, in another:

  docker exec $a mosquitto_pub -t $topic -m 'hello from a'

The same with the MQTT clients of this machine:

  mosquitto_sub -p $P2PANDA_PORT_B -v -t $topic
  mosquitto_pub -p $P2PANDA_PORT_A -t $topic -m 'hello from a'

Watch them, each on its page:

  http://localhost:$P2PANDA_PAGE_A/?port=$P2PANDA_WS_A
  http://localhost:$P2PANDA_PAGE_B/?port=$P2PANDA_WS_B

The topic is new and random: who knows it can read and write it.
Logs: docker logs $a. Remove everything: $down
EOF
