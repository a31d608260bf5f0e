# shellcheck shell=sh disable=SC2034,SC2154 # variables are shared with build-image.sh
# Sourced by build-image.sh: Alpine as the base of an image.

alpine_version=${ALPINE_VERSION:-3.20.3}
alpine_mirror=${ALPINE_MIRROR:-https://dl-cdn.alpinelinux.org/alpine}

alpine_answers() { return 1; }
