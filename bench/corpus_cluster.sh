#!/bin/sh
# `transnormer corpus filter` and `dedup` as a cluster runs them, on this machine: a real Slurm (slurmctld, slurmd, munged on
# loopback, in a folder of their own) and mpirun, with tasks killed (kill -9) while they work. What comes out must be,
# byte for byte, what one task makes.
#
#   bench/corpus_cluster.sh documents.jsonl.zst [build/transnormer [mpi|slurm]]
#
# Needs root (munged and slurmd), Debian's slurm-wlm, munge, openmpi-bin and zstd. Takes about a minute; leaves nothing.
set -eu
documents=$(realpath "$1")
program=$(realpath "${2:-build/transnormer}")
only=${3:-mpi slurm}
work=$(mktemp -d)
chmod 755 "$work"
pids=""
finish() {
    for pid in $pids; do kill "$pid" 2>/dev/null || true; done
    for file in "$work"/*.pid; do [ -f "$file" ] && kill "$(cat "$file")" 2>/dev/null || true; done
    sleep 1
    rm -rf "$work"
}
trap finish EXIT INT TERM

say() { echo "$@" >&2; }

# ---- the corpus: 8 files, of which the last are the first again ----
mkdir "$work/in"
zstd -dc "$documents" | split -n r/6 - "$work/in/part." --additional-suffix=.jsonl
cp "$work/in/part.aa.jsonl" "$work/in/part.ba.jsonl"
cp "$work/in/part.ab.jsonl" "$work/in/part.bb.jsonl"
# All files that a run is for, with their hashes.
outputs() { (cd "$1" && find . -type f ! -path './manifest/*' ! -path './leases/*' ! -path './scratch/*' | sort | xargs sha256sum); }

filter="corpus filter $work/in/*.jsonl --rules fineweb --threads 1 --memory 512M -o"
dedup="corpus dedup $work/in/*.jsonl --mode minhash --threads 1 --memory 512M -o"
say "one task"
# shellcheck disable=SC2086
"$program" $filter "$work/filter.one" >/dev/null
# shellcheck disable=SC2086
"$program" $dedup "$work/dedup.one" >/dev/null
outputs "$work/filter.one" >"$work/filter.wanted"
outputs "$work/dedup.one" >"$work/dedup.wanted"

compare() { # name folder wanted
    outputs "$2" >"$work/found"
    if cmp -s "$work/found" "$3"; then
        echo "$1: $(wc -l <"$3") files, equal byte for byte"
    else
        echo "$1: different" && diff "$work/found" "$3" | head && exit 1
    fi
}
# kill -9 of one of our processes at work on a folder, now and then; each is named by its command line.
kill_some() { # folder times
    killed=0
    for _ in $(seq "$2"); do
        sleep "0.$(shuf -i 1-6 -n 1)"
        pid=$(pgrep -f "^$program corpus.*$1" | shuf -n 1 || true)
        [ -n "$pid" ] && kill -9 "$pid" 2>/dev/null && killed=$((killed + 1)) || true
    done
    echo "$killed" >"$work/killed"
}

# ---- mpirun: when a task is killed all are, and it is started again ----
for what in filter dedup; do
    case $only in *mpi*) ;; *) break ;; esac
    eval "command=\$$what"
    failed=0
    for round in 1 2 3 4 5; do
        [ $round -gt 3 ] || kill_some "$work/$what.mpi" 2 &
        # shellcheck disable=SC2086
        mpirun --allow-run-as-root --oversubscribe -n 4 "$program" $command "$work/$what.mpi" >/dev/null 2>&1 ||
            failed=$((failed + 1))
        wait
    done
    compare "$what, mpirun -n 4, five times, $failed of them killed" "$work/$what.mpi" "$work/$what.wanted"
done

# ---- Slurm ----
case $only in *slurm*) ;; *) exit 0 ;; esac
say "Slurm"
host=$(hostname -s)
dd if=/dev/urandom of="$work/munge.key" bs=128 count=1 2>/dev/null
chmod 600 "$work/munge.key"
mkdir -p "$work/munge" "$work/ctld" "$work/slurmd"
chmod 700 "$work/munge"
munged --key-file="$work/munge.key" --socket="$work/munge.socket" --pid-file="$work/munge/munged.pid" \
    --log-file="$work/munge/munged.log" --seed-file="$work/munge/munged.seed" --force
cp "$work/munge/munged.pid" "$work/munged.pid"
cat >"$work/slurm.conf" <<CONF
ClusterName=one
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=16817
SlurmdPort=16818
AuthType=auth/munge
AuthInfo=socket=$work/munge.socket
CryptoType=crypto/munge
SlurmUser=root
StateSaveLocation=$work/ctld
SlurmdSpoolDir=$work/slurmd
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
SlurmctldLogFile=$work/slurmctld.log
SlurmdLogFile=$work/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=1
MpiDefault=none
SlurmdParameters=config_overrides
ReturnToService=2
NodeName=$host NodeAddr=127.0.0.1 CPUs=4 RealMemory=4000 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:4
CONF
export SLURM_CONF="$work/slurm.conf"
slurmctld -f "$work/slurm.conf"
slurmd -f "$work/slurm.conf" -N "$host"
for _ in $(seq 30); do
    sinfo -h -o %T 2>/dev/null | grep -q idle && break
    sleep 1
done
sinfo -h -o "%N %T" >&2
idle() { for _ in $(seq 600); do [ -z "$(squeue -h 2>/dev/null)" ] && return; sleep 0.5; done; squeue; exit 1; }

cd "$work"
cat >filter.job <<JOB
#!/bin/sh
#SBATCH --array=0-3
#SBATCH --output=/dev/null
exec $program $filter $work/filter.slurm
JOB
for round in 1 2 3; do
    sbatch --parsable filter.job >/dev/null
    [ $round -eq 3 ] || kill_some "$work/filter.slurm" 3
    idle
done
# The last task to end writes what is of all inputs; another run finds nothing left to do.
# shellcheck disable=SC2086
"$program" $filter "$work/filter.slurm" --task 0 --world 1 >/dev/null
compare "filter, a Slurm array of 4, three times, tasks killed" "$work/filter.slurm" "$work/filter.wanted"

# shellcheck disable=SC2086
"$program" $dedup "$work/dedup.slurm" --emit-slurm --slurm-tasks 4 >dedup.sh
for round in 1 2 3 4; do
    sh dedup.sh --output=/dev/null >/dev/null
    [ $round -gt 2 ] || kill_some "$work/dedup.slurm" 4
    idle
done
compare "dedup, --emit-slurm, four times, tasks killed" "$work/dedup.slurm" "$work/dedup.wanted"
