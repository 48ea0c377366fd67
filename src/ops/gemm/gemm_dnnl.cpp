#include "ops/gemm/gemm.h"

#include <oneapi/dnnl/dnnl.hpp>

#include <omp.h>

#include <map>
#include <tuple>

namespace tnl {
namespace {

using Key =
    std::tuple<int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, bool, bool, float, bool>;

dnnl::memory::desc matrix(int64_t rows, int64_t cols, int64_t ld, bool transposed,
                          dnnl::memory::data_type type) {
    return transposed ? dnnl::memory::desc({rows, cols}, type, dnnl::memory::dims{1, ld})
                      : dnnl::memory::desc({rows, cols}, type, dnnl::memory::dims{ld, 1});
}

struct Prepared {
    dnnl::memory::desc a, b, c;
    dnnl::matmul primitive;
};

// This thread's library state. oneDNN threads with OpenMP, whose thread count is per thread: one
// here, since every one of our threads calls it for its own block.
struct Local {
    dnnl::engine engine{dnnl::engine::kind::cpu, 0};
    dnnl::stream stream{engine};
    std::map<Key, Prepared> prepared;
    Local() { omp_set_num_threads(1); }
};

// oneDNN 2 (Debian 12) describes a product before its primitive, oneDNN 3 (Ubuntu 24.04) with it.
template <class Matmul>
Matmul make_product(const dnnl::engine& engine, const Prepared& p,
                    const dnnl::primitive_attr& attributes) {
    using Description = typename Matmul::primitive_desc;
    if constexpr (requires { typename Matmul::desc; })
        return Matmul(Description(typename Matmul::desc(p.a, p.b, p.c), attributes, engine));
    else
        return Matmul(Description(engine, p.a, p.b, p.c, attributes));
}

template <class C> Prepared prepare(const dnnl::engine& engine, const GemmBlock<bf16, C>& g) {
    using Type = dnnl::memory::data_type;
    Prepared p;
    p.a = matrix(g.M, g.K, g.lda, g.transpose_a, Type::bf16);
    p.b = matrix(g.K, g.N, g.ldb, g.transpose_b, Type::bf16);
    p.c = matrix(g.M, g.N, g.ldc, false, std::is_same_v<C, float> ? Type::f32 : Type::bf16);
    dnnl::primitive_attr attributes;
    if (g.beta != 0) {
        dnnl::post_ops sum;
        sum.append_sum(g.beta);
        attributes.set_post_ops(sum);
    }
    p.primitive = make_product<dnnl::matmul>(engine, p, attributes);
    return p;
}

template <class C> void multiply(const GemmBlock<bf16, C>& g) {
    TNL_CHECK(g.alpha == 1, "gemm by oneDNN: alpha is {}, wanted 1", g.alpha);
    thread_local Local local;
    const Key key{g.M,   g.N,           g.K,           g.lda,  g.ldb,
                  g.ldc, g.transpose_a, g.transpose_b, g.beta, std::is_same_v<C, float>};
    auto found = local.prepared.find(key);
    if (found == local.prepared.end())
        found = local.prepared.emplace(key, prepare(local.engine, g)).first;
    const Prepared& p = found->second;
    const auto memory = [&](const dnnl::memory::desc& desc, const void* data) {
        return dnnl::memory(desc, local.engine, const_cast<void*>(data));
    };
    p.primitive.execute(local.stream, {{DNNL_ARG_SRC, memory(p.a, g.a)},
                                       {DNNL_ARG_WEIGHTS, memory(p.b, g.b)},
                                       {DNNL_ARG_DST, memory(p.c, g.c)}});
    local.stream.wait();
}

} // namespace

void dnnl_gemm(const GemmBlock<bf16, float>& block) { multiply(block); }
void dnnl_gemm(const GemmBlock<bf16, bf16>& block) { multiply(block); }

} // namespace tnl
