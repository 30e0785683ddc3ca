#!/bin/sh
# Installs the browser that tests/plugins drives, its driver and a Chinese font, from Debian's packages. Needs root.
set -e
[ -x /usr/bin/chromium ] && [ -x /usr/bin/chromedriver ] && exit 0
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium chromium-driver fonts-noto-cjk >/dev/null
