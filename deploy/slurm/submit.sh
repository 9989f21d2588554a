#!/usr/bin/env bash
# Sends a planned job to Slurm: an array of parts, and gather when all of them have ended.
#
#   slidemill plan slides/ -o /shared/results
#   deploy/slurm/submit.sh /shared/results 8 [options of sbatch for the parts, such as --partition=gpu --gres=gpu:1]
#
# Sends the parts that have work left, so that the same command goes on with a job. Prints the ids of its jobs, or
# that nothing is left. With SLIDEMILL_BY=slab before it each part does some windows of every slide, for few giant ones,
# and another job ends the slides when all parts have ended.
set -euo pipefail

if [ $# -lt 2 ]; then
    sed -n '2,10s/^# \{0,1\}//p' "$0" >&2
    exit 64
fi
out=$(realpath -- "$1") parts=$2
shift 2
here=$(dirname -- "$(realpath -- "$0")")

if [ ! -f "$out/.slidemill/plan.json" ]; then
    echo "submit.sh: no plan is here; \`slidemill plan SLIDES -o OUT\` makes one: $out" >&2
    exit 64
fi
by=${SLIDEMILL_BY:-shard}
case $by in
shard) left=$("${SLIDEMILL_PROGRAM:-slidemill}" status "$out" --parts-left "$parts") ;;
# Each slab has some of every slide.
slab) left=$("${SLIDEMILL_PROGRAM:-slidemill}" status "$out" --parts-left 1) && left=${left:+1-$parts} ;;
*)
    echo "submit.sh: SLIDEMILL_BY is $by, expected shard or slab" >&2
    exit 64
    ;;
esac
if [ -z "$left" ]; then
    echo "nothing is left: all slides of the plan are done" >&2
    exit 0
fi
# Slurm fails a task without a word when the folder of its log is missing.
logs=$out/.slidemill/slurm
mkdir -p "$logs"
export SLIDEMILL_OUT=$out

# send BY PARTS TASKS LOG [options of sbatch]: an array of parts; prints its id.
send() {
    local by=$1 parts=$2 tasks=$3 log=$4 id
    shift 4
    id=$(SLIDEMILL_BY=$by SLIDEMILL_PARTS=$parts sbatch --parsable --array="$tasks" --output="$logs/$log" \
        --open-mode=append "$@" "$here/part.sbatch")
    echo "${id%%;*}"
}

jobs=$(send "$by" "$parts" "$left" part-%a.log "$@")
last=$jobs
if [ "$by" = slab ]; then
    last=$(send shard 1 1 end.log --dependency="afterany:$last" "$@")
    jobs="$jobs $last"
fi
# However the parts ended: gather says what is missing.
gather=$(sbatch --parsable --dependency="afterany:$last" --output="$logs/gather.log" "$here/gather.sbatch")
echo "$jobs ${gather%%;*}"
