#!/usr/bin/env bash
# The whole of LeaSE over HTTP, with curl alone: search -> derive -> evalarch -> heat maps, and then `lease`: staged and joint, with a
# ResNet, an SE-ResNet, a Shake-Shake network as its audience, and from a given explainer (the search's). A daemon must be there that
# knows the data set:
#
#     leased serve --dataset cifar10=DIR &
#     docs/examples/lease-loop.sh
#
# Prints a table at the end: accuracies on validation images after the first epoch and after the last. Exits 1 where something failed,
# 3 where a network that was to learn has not. Every variable below may be
# set in the environment.
set -euo pipefail

: "${URL:=http://127.0.0.1:8080}"   # of the daemon
: "${MAPS:=lease-maps}"             # folder for heat maps
: "${DATASET:=cifar10}" "${TRAIN_IMAGES:=5000}" "${TEST_IMAGES:=1000}" "${SEED:=1}" "${THREADS:=2}" "${BATCH:=64}"
: "${VAL_IMAGES:=$((TRAIN_IMAGES / 2))}" # of the training images; move the architecture
: "${CHANNELS:=8}" "${CELLS:=5}" "${SPACE:=s3_se_eca}"    # the supernet
: "${SEARCH_EPOCHS:=10}" "${EVALARCH_EPOCHS:=10}" "${RATE:=0.05}"
: "${LEASES:=staged,resnet joint,resnet staged,se joint,se staged,shake joint,shake staged,given joint,given}" # schedule,audience
: "${WIDTH:=16}" # of the audiences
: "${ROUNDS:=2}" "${EXPLAINER_EPOCHS:=4}" "${AUDIENCE_EPOCHS:=4}" "${ARCHITECTURE_EPOCHS:=1}" # staged, in each round
: "${JOINT_EPOCHS:=8}" "${ALPHA_START_EPOCH:=0}" # joint; epochs before the architecture moves
: "${STEPS:=4}"                      # of an attack
: "${HEATMAPS:=4}"                   # of each network

api=$URL/api/v1
images="\"dataset\": \"$DATASET\", \"train_images\": $TRAIN_IMAGES, \"test_images\": $TEST_IMAGES"
data="$images, \"val_images\": $VAL_IMAGES"
augment='"augment": [{"name": "crop", "padding": 4}, {"name": "flip"}]'
learns="\"batch_size\": $BATCH, $augment, \"optimizer\": {\"name\": \"sgd\", \"lr\": $RATE}"
supernet="\"space\": \"$SPACE\", \"channels\": $CHANNELS, \"cells\": $CELLS"

get() {
    curl -sS --fail-with-body "$api/$1"
}

# submit KIND NAME PARAMS -- prints the new job's id.
submit() {
    curl -sS --fail-with-body -H 'Content-Type: application/json' "$api/jobs" \
        -d "{\"kind\": \"$1\", \"name\": \"$2\", \"seed\": $SEED, \"threads\": $THREADS, \"params\": {$3}}" |
        sed 's/^{"id":\([0-9]*\),.*/\1/'
}

# finish JOB -- waits for it.
finish() {
    local job state

    while :; do
        job=$(get "jobs/$1")
        state=$(sed 's/.*"state":"\([a-z_]*\)","desired_state".*/\1/' <<<"$job")
        case $state in
        succeeded | early_stopped) return ;;
        failed | cancelled)
            echo "job $1 $state: $job" >&2
            exit 1
            ;;
        esac
        sleep 0.5
    done
}

# genotype JOB -- the one that it found.
genotype() {
    get "jobs/$1" | sed 's/.*"result":{"genotype":\([0-9]*\).*/\1/'
}

# first JOB KEY, last JOB KEY -- the oldest and the newest number of a series.
first() {
    get "jobs/$1/metrics?keys=$2" | sed 's/.*"points":\[\[[^,]*,\([^,]*\),.*/\1/'
}

last() {
    get "jobs/$1/metrics?keys=$2" | sed 's/.*\[[^,]*,\([^,]*\),[^]]*\]\].*/\1/'
}

# heatmaps JOB NAME [QUERY] -- PNG files of the first test images.
heatmaps() {
    local image

    mkdir -p "$MAPS"
    for ((image = 0; image < HEATMAPS; image++)); do
        get "jobs/$1/heatmaps/$image.png${3:-}" >"$MAPS/$2-$image.png"
    done
}

# audience NAME -- its model; `given` has the first one's.
audience() {
    case $1 in
    se) echo "{\"name\": \"resnet18\", \"width\": $WIDTH, \"attention\": \"se\"}" ;;
    shake) echo "{\"name\": \"shake_shake\", \"width\": $WIDTH}" ;;
    *) echo "{\"name\": \"resnet18\", \"width\": $WIDTH}" ;;
    esac
}

# lease MODE AUDIENCE -- prints its job's id.
lease() {
    local explainer="$supernet"

    [ "$2" != given ] || explainer="\"checkpoint\": {\"job\": $search}"
    [ "$1" != joint ] || explainer="$explainer, \"alpha_start_epoch\": $ALPHA_START_EPOCH"
    submit lease "$1, $2" "$data, \"mode\": \"$1\", \"rounds\": $ROUNDS, \"epochs\": $JOINT_EPOCHS,
        \"explanation\": {\"steps\": $STEPS}, \"architecture\": {\"epochs\": $ARCHITECTURE_EPOCHS},
        \"explainer\": {$explainer, $learns, \"epochs\": $EXPLAINER_EPOCHS},
        \"audience\": {\"model\": $(audience "$2"), $learns, \"epochs\": $AUDIENCE_EPOCHS}"
}

# above A B -- whether the number A is.
above() {
    awk -v a="$1" -v b="$2" 'BEGIN { exit !(a > b) }'
}

table=$(printf '%-8s %-9s %-30s %s\n' schedule audience 'explainer/val/raw' 'audience/val/reweighted')
learned=0

# row MODE AUDIENCE JOB -- adds it to the table. A given explainer has learned before.
row() {
    local e=explainer/val/raw/accuracy a=audience/val/reweighted/accuracy verdict=''
    local e1 e2 a1 a2

    e1=$(first "$3" $e) e2=$(last "$3" $e) a1=$(first "$3" $a) a2=$(last "$3" $a)
    if ! above "$a2" "$a1" || { [ "$2" != given ] && ! above "$e2" "$e1"; }; then
        verdict='  NOT ABOVE ITS FIRST EPOCH'
        learned=3
    fi
    table+=$(printf '\n%-8s %-9s %6.3f -> %-20.3f %6.3f -> %.3f%s' "$1" "$2" "$e1" "$e2" "$a1" "$a2" "$verdict")
}

search=$(submit search 'the loop: search' "$data, $supernet, \"epochs\": $SEARCH_EPOCHS, $learns")
echo "search: job $search"
finish "$search"
derive=$(submit derive 'the loop: derive' "\"job\": $search")
finish "$derive"
found=$(genotype "$derive")
echo "derive: genotype $found: $(get "genotypes/$found?format=darts")"
evalarch=$(submit evalarch 'the loop: evalarch' "$images, \"val_images\": $((TRAIN_IMAGES / 10)), \"genotype\": $found,
    \"channels\": $CHANNELS, \"cells\": $CELLS, \"epochs\": $EVALARCH_EPOCHS, $learns")
finish "$evalarch"
echo "evalarch: job $evalarch, test/accuracy $(last "$evalarch" test/accuracy)"
heatmaps "$search" supernet
heatmaps "$evalarch" found

jobs=()
for wanted in $LEASES; do
    id=$(lease "${wanted%,*}" "${wanted#*,}")
    jobs+=("${wanted%,*} ${wanted#*,} $id")
done
for job in "${jobs[@]}"; do
    read -r mode name id <<<"$job"
    echo "lease: job $id, $mode, audience $name"
    finish "$id"
    heatmaps "$id" "$mode-$name-explainer" '?model=explainer'
    heatmaps "$id" "$mode-$name-audience" '?model=audience'
    row "$mode" "$name" "$id"
done

echo
echo "$table"
echo "heat maps: $MAPS"
exit $learned
