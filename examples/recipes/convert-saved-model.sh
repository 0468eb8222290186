#!/bin/sh
# A classifier that somebody saved (Keras 3 or 2, from Python or R, or a SavedModel folder) becomes a model file.
#   sh convert-saved-model.sh birds.h5 pictures/ birds.txt tf
# MODEL; a folder of pictures like those it will see (in folders named like its labels they also judge it); its labels,
# one per line; and what a pixel became before the model saw it: tf, caffe, torch, raw or 0..1 (docs/convert.md).
set -eu
sightpost-train convert "$1"
sightpost-train convert "$1" --calibration "$2" --labels "$3" --mode "$4" --out converted.tflite
echo "next: sightpost classify PICTURE --model converted.tflite"
