/**
 * What a Slurm step runs on another node of the allocation: it runs the script there and writes how that ended into a file of its own,
 * so that no two nodes append to one. srun's own exit code cannot tell a script's end from its step's (cancelled, its node lost), nor a
 * signal from an exit code above 128. The launcher, which waits for srun, believes this file alone.
 *
 * It is given: that file; `BASH_ENV`, which bash itself would run; how many slots are on this node, and which of them this is; then
 * the script's words. Signals to the step reach it as well as the script, hence the trap. GPUs are named by their node alone, so the share
 * of a slot is reckoned here, as `gpusOfSlot` does for the runner's own node.
 */
export const stepText = `told=$1 site=$2 slots=$3 slot=$4
shift 4
exec 3>&2 2>"$told" || exit 125
builtin umask 077
[[ -z $site ]] || builtin export BASH_ENV="$site"
share() {
  local IFS=, count
  local gpus=($CUDA_VISIBLE_DEVICES)
  count=\${#gpus[@]}
  if ((count % slots == 0)); then gpus=("\${gpus[@]:slot*(count/slots):count/slots}")
  elif ((slots % count == 0)); then gpus=("\${gpus[@]:slot%count:1}")
  fi
  builtin export CUDA_VISIBLE_DEVICES="\${gpus[*]}"
}
[[ $slots -eq 1 || -z $CUDA_VISIBLE_DEVICES || $CUDA_VISIBLE_DEVICES == NoDevFiles ]] || share
trap : TERM INT HUP USR1 USR2
"$@" 2>&3 3>&-
rc=$?
builtin printf '\\nrc %s\\n' "$rc" >&2
times >&2
builtin printf 'end\\n' >&2
`

/** How the file of it is called. */
export const stepFile = 'job-step.'
