// Hopper's own words of PTX (sm_90a) as functions: mbarriers, the bulk tensor copy engine, named
// barriers, register reallocation. PTX ISA 8.x, sections "mbarrier", "cp.async.bulk.tensor",
// "setmaxnreg". Products: wgmma.cuh.
#pragma once

#include "cuda/mma.cuh"

#include <cuda.h>

#include <cstdint>

namespace tnl::sm90 {

__device__ inline void barrier_init(uint64_t* barrier, int arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;\n" ::"r"(shared_address(barrier)),
                 "r"(arrivals)
                 : "memory");
}
// Makes initialised barriers known to the copy engine.
__device__ inline void fence_barrier_init() {
    asm volatile("fence.mbarrier_init.release.cluster;\n" ::: "memory");
}
__device__ inline void barrier_arrive(uint64_t* barrier) {
    asm volatile(
        "mbarrier.arrive.release.cta.shared::cta.b64 _, [%0];\n" ::"r"(shared_address(barrier))
        : "memory");
}
// Arrives, and makes the phase also wait for `bytes` from the copy engine.
__device__ inline void barrier_expect(uint64_t* barrier, uint32_t bytes) {
    asm volatile("mbarrier.arrive.expect_tx.release.cta.shared::cta.b64 _, [%0], %1;\n" ::"r"(
                     shared_address(barrier)),
                 "r"(bytes)
                 : "memory");
}
// Waits until the phase of this parity has completed.
__device__ inline void barrier_wait(uint64_t* barrier, uint32_t parity) {
    asm volatile("{\n"
                 ".reg .pred done;\n"
                 "again:\n"
                 "mbarrier.try_wait.parity.acquire.cta.shared::cta.b64 done, [%0], %1;\n"
                 "@done bra finished;\n"
                 "bra again;\n"
                 "finished:\n"
                 "}\n" ::"r"(shared_address(barrier)),
                 "r"(parity)
                 : "memory");
}

// Whether it has.
__device__ inline bool barrier_test(uint64_t* barrier, uint32_t parity) {
    uint32_t done;
    asm volatile("{\n"
                 ".reg .pred done;\n"
                 "mbarrier.test_wait.parity.acquire.cta.shared::cta.b64 done, [%1], %2;\n"
                 "selp.u32 %0, 1, 0, done;\n"
                 "}\n"
                 : "=r"(done)
                 : "r"(shared_address(barrier)), "r"(parity)
                 : "memory");
    return done != 0;
}

// Shared memory written by ordinary stores becomes visible to the tensor cores and the copy engine.
__device__ inline void fence_async() {
    asm volatile("fence.proxy.async.shared::cta;\n" ::: "memory");
}

// A barrier of `threads` threads; 0 is __syncthreads's own.
__device__ inline void named_barrier(int id, int threads) {
    asm volatile("bar.sync %0, %1;\n" ::"r"(id), "r"(threads) : "memory");
}

template <int kRegisters> __device__ void raise_registers() {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;\n" ::"n"(kRegisters));
}
template <int kRegisters> __device__ void lower_registers() {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;\n" ::"n"(kRegisters));
}

// ---- clusters: blocks that reach each other's shared memory ----

__device__ inline int cluster_rank() {
    int rank;
    asm volatile("mov.u32 %0, %%cluster_ctarank;\n" : "=r"(rank));
    return rank;
}
// Of all threads of the cluster's blocks.
__device__ inline void cluster_barrier() {
    asm volatile("barrier.cluster.arrive.release;\n"
                 "barrier.cluster.wait.acquire;\n" ::
                     : "memory");
}
// Arrives at the barrier that block `rank` has at this address, for a block that has only read what
// the other is to overwrite: no fence for the whole GPU is wanted.
__device__ inline void barrier_arrive_at(uint64_t* barrier, int rank) {
    asm volatile("{\n"
                 ".reg .b32 there;\n"
                 "mapa.shared::cluster.u32 there, %0, %1;\n"
                 "mbarrier.arrive.shared::cluster.b64 _, [there];\n"
                 "}\n" ::"r"(shared_address(barrier)),
                 "r"(rank)
                 : "memory");
}

// ---- the copy engine: boxes of a tensor of rank 4, coordinates from the fastest dimension ----

__device__ inline void load_box(void* to, const CUtensorMap* map, uint64_t* barrier, int x0, int x1,
                                int x2, int x3) {
    asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"
                 " [%0], [%1, {%3, %4, %5, %6}], [%2];\n" ::"r"(shared_address(to)),
                 "l"(reinterpret_cast<uint64_t>(map)), "r"(shared_address(barrier)), "r"(x0),
                 "r"(x1), "r"(x2), "r"(x3)
                 : "memory");
}
// The same for blocks 0 and 1 of the cluster, at the same places in the shared memory of both.
__device__ inline void load_box_to_pair(void* to, const CUtensorMap* map, uint64_t* barrier, int x0,
                                        int x1, int x2, int x3) {
    asm volatile(
        "cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"
        ".multicast::cluster [%0], [%1, {%3, %4, %5, %6}], [%2], %7;\n" ::"r"(shared_address(to)),
        "l"(reinterpret_cast<uint64_t>(map)), "r"(shared_address(barrier)), "r"(x0), "r"(x1),
        "r"(x2), "r"(x3), "h"(static_cast<uint16_t>(3))
        : "memory");
}
__device__ inline void store_box(const CUtensorMap* map, const void* from, int x0, int x1, int x2,
                                 int x3) {
    asm volatile("cp.async.bulk.tensor.4d.global.shared::cta.tile.bulk_group"
                 " [%0, {%2, %3, %4, %5}], [%1];\n" ::"l"(reinterpret_cast<uint64_t>(map)),
                 "r"(shared_address(from)), "r"(x0), "r"(x1), "r"(x2), "r"(x3)
                 : "memory");
}
__device__ inline void commit_stores() {
    asm volatile("cp.async.bulk.commit_group;\n" ::: "memory");
}
// Until this thread's stores have read their shared memory.
__device__ inline void wait_stores_read() {
    asm volatile("cp.async.bulk.wait_group.read 0;\n" ::: "memory");
}
__device__ inline void wait_stores() { asm volatile("cp.async.bulk.wait_group 0;\n" ::: "memory"); }

// ---- the copy engine: bytes in a row, a multiple of 16 ----

__device__ inline void load_bytes(void* to, const void* from, int bytes, uint64_t* barrier,
                                  uint64_t policy) {
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes"
                 ".L2::cache_hint [%0], [%1], %2, [%3], %4;\n" ::"r"(shared_address(to)),
                 "l"(from), "r"(bytes), "r"(shared_address(barrier)), "l"(policy)
                 : "memory");
}
// The policy for what is read once: it leaves the L2 to all else.
__device__ inline uint64_t read_once() {
    uint64_t policy;
    asm volatile("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;\n" : "=l"(policy));
    return policy;
}

// ---- 8 x 8 matrices to shared memory, 4 at a time; `row` is this lane's row of 16 bytes ----

__device__ inline void stmatrix(void* row, const uint32_t (&r)[4]) {
    asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};\n" ::"r"(
                     shared_address(row)),
                 "r"(r[0]), "r"(r[1]), "r"(r[2]), "r"(r[3])
                 : "memory");
}
__device__ inline void stmatrix_transposed(void* row, const uint32_t (&r)[4]) {
    asm volatile("stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1, %2, %3, %4};\n" ::"r"(
                     shared_address(row)),
                 "r"(r[0]), "r"(r[1]), "r"(r[2]), "r"(r[3])
                 : "memory");
}

} // namespace tnl::sm90
