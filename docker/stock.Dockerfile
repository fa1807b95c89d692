# SPDX-License-Identifier: MIT OR Apache-2.0
#
# The self-contained plugin on top of a stock broker's own image, whose layout stays: Mosquitto's
# official one (musl), or with BROKER another (glibc: packaging/build.sh glibc).
#
#   packaging/build.sh musl amd64
#   docker build -f docker/stock.Dockerfile -t mosquitto-p2panda-stock build/packaging/musl-amd64
#
# Options go into a mosquitto.conf of your own, below the two lines given here, mounted at
# /mosquitto/config/mosquitto.conf; the node's state is in the volume /mosquitto/data.
ARG BROKER=eclipse-mosquitto:2.1.2
FROM ${BROKER}
EXPOSE 2022/udp
COPY mosquitto_p2panda.so /usr/lib/mosquitto_p2panda.so
RUN printf '%s\n' \
	'plugin /usr/lib/mosquitto_p2panda.so' \
	'plugin_opt_state_dir /mosquitto/data/p2panda' \
	>>/mosquitto/config/mosquitto.conf
