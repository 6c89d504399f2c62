#!/bin/sh
# Waymark's plugin of CNI: the last in the chain. A pod of an enrolled namespace starts only once the node agent captures it; all others start without
# asking anybody. Needs nothing but sh, awk, cat, mv, rm and sleep. Source: CNI specification 1.1.
#
# The agent keeps, in $D:  namespaces/NAMESPACE  a file for each enrolled namespace; they stay while no agent runs
#                          requests/ID           what this asks: the network namespace's path, and CNI_ARGS
#                          answers/ID            what the agent answers: `ok`, or why not, on one line
D=@DIRECTORY@
LIMIT=@LIMIT_SECONDS@
export LC_ALL=C

fail() {
  printf '{"cniVersion":"1.0.0","code":%s,"msg":"waymark: %s"}\n' "$1" "$(printf %s "$2" | awk '{ gsub(/[^ -~]/, "?"); gsub(/[\\"]/, "\\\\&"); printf "%s%s", (NR > 1 ? " " : ""), $0 }')"
  exit 1
}

case $CNI_COMMAND in
  ADD) ;;
  VERSION) echo '{"cniVersion":"1.0.0","supportedVersions":["0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]}'; exit 0 ;;
  DEL | CHECK | GC | STATUS) exit 0 ;;
  *) fail 4 "CNI_COMMAND is not one of the specification's" ;;
esac

configuration=$(cat)

# The result of the plugins before, as it came: the value of prevResult in the outermost object.
previous() {
  printf '%s\n' "$configuration" | awk '
    { text = text $0 "\n" }
    END {
      depth = 0; from = 0; key = ""; inside = 0; length_ = length(text)
      for (at = 1; at <= length_; at++) {
        c = substr(text, at, 1)
        if (inside) {
          if (c == "\\") at++
          else if (c == "\"") { inside = 0; if (depth == 1 && !from) key = substr(text, begin, at - begin) }
        }
        else if (c == "\"") { inside = 1; begin = at + 1 }
        else if (c == "{" || c == "[") { if (depth == 1 && c == "{" && key == "prevResult" && !from) from = at; depth++ }
        else if (c == "}" || c == "]") { depth--; if (from && depth == 1) { print substr(text, from, at - from + 1); exit 0 } }
        else if (c == "," && depth == 1) key = ""
      }
      exit 1
    }' || fail 7 'the configuration has no prevResult: this must not be the first plugin'
}

namespace=
case ";$CNI_ARGS" in *";K8S_POD_NAMESPACE="*) namespace=";$CNI_ARGS"; namespace=${namespace##*;K8S_POD_NAMESPACE=}; namespace=${namespace%%;*} ;; esac
case $namespace in
  # Not of Kubernetes.
  '') previous; exit ;;
  *[!a-z0-9-]*) fail 4 'CNI_ARGS has no namespace in K8S_POD_NAMESPACE' ;;
esac
[ -e "$D/namespaces/$namespace" ] || { previous; exit; }

# The kubelet tries again when this fails, so that it is better to fail than to let a pod start that is not captured.
id=$CNI_CONTAINERID
case $id in '' | .* | *[!A-Za-z0-9_.-]*) fail 4 'CNI_CONTAINERID is no id' ;; esac
request=$D/requests/$id answer=$D/answers/$id
rm -f "$answer"
trap 'rm -f "$D/requests/.$id" "$request" "$answer"' EXIT
trap 'exit 1' HUP INT TERM
umask 077
{ printf '%s\n%s\n' "$CNI_NETNS" "$CNI_ARGS" >"$D/requests/.$id" && mv "$D/requests/.$id" "$request"; } 2>/dev/null ||
  fail 11 "the folder $D/requests can not be written: is the node agent installed?"

# Seconds since the start of the machine: no process for each look, and nobody sets this clock.
now() { read -r uptime _ </proc/uptime; uptime=${uptime%%.*}; }
now; end=$((uptime + LIMIT))
until [ -e "$answer" ]; do
  now
  [ "$uptime" -lt "$end" ] || fail 11 "the node agent did not answer in $LIMIT seconds; pods of namespace $namespace do not start without it"
  sleep 0.05 2>/dev/null || sleep 1
done
said=$(cat "$answer")
[ "$said" = ok ] || fail 11 "$said"
previous
