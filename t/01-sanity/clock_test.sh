#!/bin/sh
# Time and randomness: a plausible clock that keeps time, and random numbers that do not repeat.

# shellcheck source=t/lib.sh
. "${0%/*}/../lib.sh"
plan 9

at_least "$(date +%Y)" 2024 'the clock has been set'
at_most "$(date +%Y)" 2100 'to a plausible year'

read -r up _ </proc/uptime
wall=$(date +%s)
must sleep 2
slept=$(($(date +%s) - wall))
at_least "$slept" 2 'a sleep of two seconds takes two by the clock'
at_most "$slept" "$(scaled 20)" 'and not much more'
read -r later _ </proc/uptime
at_least $((${later%.*} - ${up%.*})) 1 'uptime moves as well'

# The guest may set its own clock; it cannot reach the host's.
must date -s '2031-02-03 04:05:06'
at_exit "date -s @$((wall + slept)) >/dev/null"
like "$(date '+%Y-%m-%d %H:%M')" '^2031-02-03 04:0' 'the clock can be set'

one=$(head -c 32 /dev/urandom | od -An -tx1)
isnt "$one" "$(head -c 32 /dev/urandom | od -An -tx1)" 'randomness does not repeat'
isnt "$(cat /proc/sys/kernel/random/uuid)" "$(cat /proc/sys/kernel/random/uuid)" 'nor does a UUID'
at_least "$(cat /proc/sys/kernel/random/entropy_avail)" 128 'the entropy pool has 128 bits'
