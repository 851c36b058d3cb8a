#!/bin/sh
# What a bias does to it: the paper's Figure 5. Needs a GPU of 24 GB and more.
# Standard with the bias on the later source for one or two languages, Explicit with the bias on the source that contributes
# least across modalities; every epsilon (nats) and every reading of which rows are biased is a setting of its own.
#
#     OPENAI_API_KEY=... sh research/repro/steering.sh
#
# The paper names neither its epsilons nor its rows: EPSILONS and SCOPES. The other variables are those of detection.sh.
set -eu

out=${OUT:-build/repro/steering}
texts=${TEXT_MODELS:-"meta-llama/Meta-Llama-3-8B-Instruct CohereLabs/aya-23-8B google/gemma-2-9b-it"}
pictures=${PICTURE_MODELS:-"Qwen/Qwen2.5-VL-7B-Instruct"}

set -- --protocol paper --pairing figure5 --max-tokens 512 -M device=cuda -M dtype=bfloat16 --judge openai \
    --judge-model gpt-4o --judge-url "${JUDGE_URL:-https://api.openai.com/v1}" \
    ${JUDGE_PROMPT:+--judge-file "$JUDGE_PROMPT"} ${ITEMS:+--items "$ITEMS"}

clqa() {
    xmguard bench run "clqa${CLQA_DATA:+-generated}" --model "xmguard/$model" --log-dir "$out" "$@" -T variants=en-en,zh-zh,en-zh \
        ${CLQA_DATA:+-T "data=$CLQA_DATA"} ${CLQA_PROMPTS:+--prompt-file "$CLQA_PROMPTS"}
}
cmqa() {
    xmguard bench run "cmqa${CMQA_DATA:+-generated}" --model "xmguard/$model" --log-dir "$out" "$@" \
        ${CMQA_DATA:+-T "folder=$CMQA_DATA"} ${CMQA_PROMPTS:+--prompt-file "$CMQA_PROMPTS"}
}
swept() {
    suite=$1
    shift
    "$suite" "$@"
    for scope in ${SCOPES:-readers all generated}; do
        for epsilon in ${EPSILONS:-0.5 1 1.5 2 3}; do
            "$suite" "$@" --policy fixed --epsilon "$epsilon" --scope "$scope"
        done
    done
}

for model in $texts; do
    swept clqa "$@"
done
for model in $pictures; do
    swept cmqa "$@"
done
xmguard bench table --log-dir "$out"
