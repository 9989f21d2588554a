#!/usr/bin/env bash
# Sends a planned job to Slurm: an array of parts, and gather when all of them have ended.
#
#   slidemill plan slides/ -o /shared/results
#   deploy/slurm/submit.sh /shared/results 8 [options of sbatch for the parts, such as --partition=gpu --gres=gpu:1]
#
# Sends the parts that have work left, so that the same command goes on with a job. Prints the ids of both jobs, or
# that nothing is left.
set -euo pipefail

if [ $# -lt 2 ]; then
    sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
    exit 64
fi
out=$(realpath -- "$1") parts=$2
shift 2
here=$(dirname -- "$(realpath -- "$0")")

if [ ! -f "$out/.slidemill/plan.json" ]; then
    echo "submit.sh: no plan is here; \`slidemill plan SLIDES -o OUT\` makes one: $out" >&2
    exit 64
fi
left=$("${SLIDEMILL_PROGRAM:-slidemill}" status "$out" --parts-left "$parts")
if [ -z "$left" ]; then
    echo "nothing is left: all slides of the plan are done" >&2
    exit 0
fi
# Slurm fails a task without a word when the folder of its log is missing.
mkdir -p "$out/.slidemill/slurm"

export SLIDEMILL_OUT=$out SLIDEMILL_PARTS=$parts
array=$(sbatch --parsable --array="$left" --output="$out/.slidemill/slurm/part-%a.log" --open-mode=append "$@" \
    "$here/part.sbatch")
# However the parts ended: gather says what is missing.
gather=$(sbatch --parsable --dependency="afterany:${array%%;*}" --output="$out/.slidemill/slurm/gather.log" \
    "$here/gather.sbatch")
echo "${array%%;*} ${gather%%;*}"
