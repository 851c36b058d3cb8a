#!/bin/sh
# How often conflicts are mentioned, by variant and prompt: the paper's Figures 3, 12 and 15. Needs a GPU of 24 GB and more.
# Prompts Standard, Instructed and Explicit, both orders, conflicts and controls; a run that was stopped goes on.
#
#     OPENAI_API_KEY=... sh research/repro/detection.sh
#
# CLQA_PROMPTS and CMQA_PROMPTS are --prompt-file of each suite, JUDGE_PROMPT is --judge-file: the paper's texts are not ours
# to ship. ITEMS takes so many items of each suite. CLQA_DATA is a file of clqa-generated, in place of CLQA from templates, and
# CMQA_DATA a folder of cmqa-generated, in place of drawn scenes.
set -eu

out=${OUT:-build/repro/detection}
texts=${TEXT_MODELS:-"meta-llama/Meta-Llama-3-8B-Instruct CohereLabs/aya-23-8B google/gemma-2-9b-it"}
pictures=${PICTURE_MODELS:-"Qwen/Qwen2.5-VL-7B-Instruct"}

set -- --protocol paper --max-tokens 512 -M device=cuda -M dtype=bfloat16 --judge openai --judge-model gpt-4o \
    --judge-url "${JUDGE_URL:-https://api.openai.com/v1}" ${JUDGE_PROMPT:+--judge-file "$JUDGE_PROMPT"} \
    ${ITEMS:+--items "$ITEMS"}

for model in $texts; do
    xmguard bench run "clqa${CLQA_DATA:+-generated}" --model "xmguard/$model" --log-dir "$out" "$@" \
        -T variants=en-en,zh-zh,en-zh,tr-tr,en-tr,is-is,en-is ${CLQA_DATA:+-T "data=$CLQA_DATA"} \
        ${CLQA_PROMPTS:+--prompt-file "$CLQA_PROMPTS"}
done
for model in $pictures; do
    xmguard bench run "cmqa${CMQA_DATA:+-generated}" --model "xmguard/$model" --log-dir "$out" "$@" \
        ${CMQA_DATA:+-T "folder=$CMQA_DATA"} ${CMQA_PROMPTS:+--prompt-file "$CMQA_PROMPTS"}
done
xmguard bench table --log-dir "$out"
