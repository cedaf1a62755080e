# The first process of a machine, in namespaces of its own. machine.py says in the environment what it is to be, and in
# $FOLDER/go, once this machine's end of its cable is there, what address it has.
set -e
until [ -e "$FOLDER/go" ]; do sleep 0.05; done
. "$FOLDER/go"
hostname "$NAME"
ip link set lo up
ip addr add 10.96.0.1/32 dev lo
ip addr add "$ADDRESS" peer "$GATEWAY" dev eth0
ip link set eth0 up
echo 1 >/proc/sys/net/ipv4/ip_forward
# What kubelets on one machine must not share, whatever their own folders are, and this system is not to keep.
mount -t tmpfs tmpfs /run
mkdir -p /run/netns
mount --bind "$FOLDER/varlib" /var/lib
mount --bind "$FOLDER/varlog" /var/log
"$PYTHON" -SE "$RELAY" "tcp:127.0.0.1:$PORT=unix:$FOLDER/api.sock" "tcp:10.96.0.1:443=unix:$FOLDER/api.sock" >"$FOLDER/relay.log" 2>&1 &
containerd -c "$FOLDER/containerd.toml" >"$FOLDER/containerd.log" 2>&1 &
ctl="ctr -a $FOLDER/containerd.sock"
until $ctl version >/dev/null 2>&1; do sleep 0.1; done
for archive in "$FOLDER"/images/*.tar; do $ctl -n k8s.io images import "$archive"; done
exec kubelet --config="$FOLDER/kubelet.json" --kubeconfig="$FOLDER/kubeconfig" --hostname-override="$NAME" --node-ip="$ADDRESS" \
  --node-labels="$LABELS" --root-dir="$FOLDER/kubelet" --cert-dir="$FOLDER/pki" >"$FOLDER/kubelet.log" 2>&1
