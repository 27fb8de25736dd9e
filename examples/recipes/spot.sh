#!/usr/bin/env bash
# Trains one fold on a machine that its provider may take away: as soon as the machine's end is announced, voxgrad saves and
# ends with 75. Started again on the next machine, with the same folders, it goes on from there.
#   spot.sh 4 3d_fullres 0 [flags of voxgrad train]
set -u

: "${VOXGRAD:=$HOME/voxgrad/dist/cli/main.js}"
: "${nnUNet_raw:?the folder of raw datasets, on storage that outlives the machine}" "${nnUNet_preprocessed:?}" "${nnUNet_results:?}"
: "${SECONDS_BETWEEN_LOOKS:=5}"

# Whether the machine's end is announced: on Amazon EC2 (instance metadata, version 2). On Google Cloud replace the function by
#   [ "$(curl -sf -m 2 -H Metadata-Flavor:Google http://169.254.169.254/computeMetadata/v1/instance/preempted)" = TRUE ]
ending() {
  local metadata=http://169.254.169.254/latest token
  token=$(curl -sf -m 2 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' "$metadata/api/token") || return 1
  curl -sf -m 2 -o /dev/null -H "X-aws-ec2-metadata-token: $token" "$metadata/meta-data/spot/instance-action"
}

node "$VOXGRAD" train "$@" --continue &
run=$!
trap 'kill -TERM "$run" 2>/dev/null' INT TERM
(
  until ending; do
    kill -0 "$run" 2>/dev/null || exit 0
    sleep "$SECONDS_BETWEEN_LOOKS"
  done
  kill -TERM "$run" 2>/dev/null
) &

wait "$run"
code=$?
while kill -0 "$run" 2>/dev/null; do
  wait "$run"
  code=$?
done
exit "$code"
