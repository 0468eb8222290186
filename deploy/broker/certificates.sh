#!/usr/bin/env bash
# A small private certificate authority for a fleet: one for the broker, one for each device. Needs openssl 1.1 or newer.
set -euo pipefail
umask 077

usage() {
  cat <<'TEXT'
Usage: deploy/broker/certificates.sh FOLDER COMMAND

  init                    make the authority: ca.crt, which everybody gets, and ca.key, which nobody gets
  broker NAME [NAME...]   a certificate for the broker with these names or addresses: NAME.crt, NAME.key
  device ID               a certificate for the device with this device.id (or a person, or a bridge): ID.crt, ID.key
  revoke ID               no longer believe the newest certificate of ID; copy the new ca.crl to the broker
  list                    what was issued, until when, and what was revoked

A second `device` or `broker` for the same name renews it: new key, new certificate, the old one stays valid.
FOLDER holds the authority. Keep it off the broker, on a disk that is encrypted or in a drawer: whoever has ca.key can
make devices. Example:

  deploy/broker/certificates.sh ~/fleet-ca init
  deploy/broker/certificates.sh ~/fleet-ca broker broker.example.org 192.168.1.5
  deploy/broker/certificates.sh ~/fleet-ca device yard-pi
TEXT
}

# Devices are out of reach for years; the broker is not. An expired list of the revoked would lock everybody out.
ca_days=7300 broker_days=825 device_days=1825 crl_days=3650

fail() { printf 'certificates.sh: %s\n' "$*" >&2; exit 1; }

settings() {
  cat > "$folder/.openssl.cnf" <<TEXT
[ca]
default_ca = own
[own]
database = $folder/issued.txt
new_certs_dir = $folder/issued
certificate = $folder/ca.crt
private_key = $folder/ca.key
crlnumber = $folder/crlnumber
rand_serial = yes
unique_subject = no
default_md = sha256
default_crl_days = $crl_days
policy = any
[any]
commonName = supplied
[req]
distinguished_name = empty
[empty]
[authority]
basicConstraints = critical, CA:true, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[broker]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = ${1:-DNS:none}
[device]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
TEXT
}

run() { openssl "$@" 2>"$folder/.openssl.log" || { cat "$folder/.openssl.log" >&2; fail "openssl $1 failed; the lines above say why"; }; }

new_key() { run genpkey -algorithm EC -pkeyopt ec_paramgen_curve:prime256v1 -out "$1"; }

init() {
  [[ ! -e $folder/ca.key ]] || fail "$folder already holds an authority; a new one would lock out every device"
  mkdir -p "$folder/issued"
  : > "$folder/issued.txt"
  echo 01 > "$folder/crlnumber"
  settings
  new_key "$folder/ca.key"
  run req -x509 -new -config "$folder/.openssl.cnf" -extensions authority -key "$folder/ca.key" -sha256 -days $ca_days \
    -subj "/CN=Sightpost fleet $(date -u +%Y-%m-%d)" -out "$folder/ca.crt"
  chmod 644 "$folder/ca.crt"
  revoked_list
}

own_name() { [[ ${1,,} != ca ]] || fail "$1: the files of the authority itself have this name; take another one"; }

# Goes to a new file first: what is in use stays whole until the new one is.
issue() {
  local kind=$1 name=$2 days=$3
  new_key "$folder/$name.key.new"
  run req -new -config "$folder/.openssl.cnf" -key "$folder/$name.key.new" -subj "/CN=$name" -out "$folder/.request"
  run ca -batch -config "$folder/.openssl.cnf" -extensions "$kind" -days "$days" -notext -in "$folder/.request" -out "$folder/$name.crt.new"
  mv "$folder/$name.key.new" "$folder/$name.key"
  chmod 644 "$folder/$name.crt.new"
  mv "$folder/$name.crt.new" "$folder/$name.crt"
  rm -f "$folder/.request"
  printf '%s: valid until %s\n' "$folder/$name.crt" "$(openssl x509 -in "$folder/$name.crt" -noout -enddate | cut -d= -f2)"
}

broker() {
  local name names=''
  for name in "$@"; do
    [[ $name =~ ^[A-Za-z0-9.:_-]+$ ]] || fail "$name: no host name or address"
    if [[ $name =~ ^[0-9.]+$ || $name == *:* ]]; then names+=",IP:$name"; else names+=",DNS:$name"; fi
  done
  own_name "$1"
  settings "${names#,}"
  issue broker "$1" $broker_days
}

device() {
  # As device.id in edge.toml: the name becomes a part of topics in the broker's access rules.
  [[ $1 =~ ^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$ ]] || fail "$1: take letters, digits, - and _, at most 64, as in device.id"
  own_name "$1"
  settings
  issue device "$1" $device_days
}

revoke() {
  own_name "$1"
  [[ -e $folder/$1.crt ]] || fail "$folder/$1.crt: there is no such certificate"
  settings
  run ca -config "$folder/.openssl.cnf" -revoke "$folder/$1.crt"
  revoked_list
  printf '%s is revoked. Copy %s to the broker, then: systemctl reload mosquitto, and restart it to end a connection\n' "$1" "$folder/ca.crl"
}

revoked_list() { run ca -config "$folder/.openssl.cnf" -gencrl -out "$folder/ca.crl" && chmod 644 "$folder/ca.crl"; }

list() {
  awk -F'\t' '{ printf "%-8s until 20%s-%s-%s  %s  (serial %s)\n", $1 == "R" ? "revoked" : "valid",
    substr($2, 1, 2), substr($2, 3, 2), substr($2, 5, 2), substr($6, 5), $4 }' "$folder/issued.txt"
}

[[ ${1-} != -h && ${1-} != --help ]] || { usage; exit 0; }
(($# >= 2)) || { usage >&2; exit 64; }
folder=$1 command=$2
shift 2
command -v openssl >/dev/null || fail 'openssl is missing: apt-get install openssl'
[[ $command == init || -e $folder/ca.key ]] || fail "$folder holds no authority; make one with: $0 $folder init"
case $command in
  init | list) (($# == 0)) || { usage >&2; exit 64; } ;;
  device | revoke) (($# == 1)) || { usage >&2; exit 64; } ;;
  broker) (($# >= 1)) || { usage >&2; exit 64; } ;;
  *) printf 'certificates.sh: %s: unknown command; see --help\n' "$command" >&2; exit 64 ;;
esac
"$command" "$@"
