#include "ops/act/act_scalar.h"
#include "ops/gemm/few_rows.h"
#include "ops/rows.h"

#include <cmath>
#include <vector>

namespace tnl {
namespace {

// A row of before(a), rounded to T.
template <class T>
void prepare(std::vector<T>& out, const FewRows& call, const Rows<T>& a, const Rows<T>& g,
             int64_t m) {
    using A = Accumulator<T>;
    A square = 0;
    for (int64_t k = 0; k < a.cols; ++k) square += A(a[m][k]) * A(a[m][k]);
    const A rstd = 1 / std::sqrt(square / static_cast<A>(a.cols) + static_cast<A>(call.eps));
    for (int64_t k = 0; k < a.cols; ++k) {
        T& to = out[static_cast<size_t>(k)];
        to = a[m][k];
        if (call.before == FewRows::Before::srms) to = T(A(to) * rstd);
        if (call.before == FewRows::Before::srms_gate)
            to = T(A(to) * rstd * act_value(call.gate_act, A(g[m][k])));
    }
}

} // namespace

namespace oracle {

void few_rows(Stream&, const FewRows& call) {
    const FewRowsShape s = check_few_rows(call);
    dispatch_float(call.a.dtype, [&]<class T>() {
        using A = Accumulator<T>;
        const auto a = rows_of<T>(call.a, "a"), b = rows_of<T>(call.b, "b"),
                   g = rows_of<T>(call.g, "g");
        std::vector<T> row(static_cast<size_t>(s.K));
        const auto sum = [&](int64_t n) {
            A total = 0;
            for (int64_t k = 0; k < s.K; ++k) total += A(row[static_cast<size_t>(k)]) * A(b[n][k]);
            return total;
        };
        const auto store = [&](auto c) {
            using C = std::remove_cvref_t<decltype(c[0][0])>;
            for (int64_t m = 0; m < s.M; ++m) {
                prepare(row, call, a, g, m);
                for (int64_t n = 0; n < s.columns; ++n) {
                    C& out = c[m][n];
                    A value = sum(n);
                    if (call.after == FewRows::After::nothing) {
                        out = C(call.beta == 0 ? value : value + A(out));
                        continue;
                    }
                    value = A(T(value));
                    if (call.after == FewRows::After::gate)
                        out = C(act_value(call.act, value) * A(T(sum(n + s.columns))));
                    else
                        out = C(n < call.acted ? act_value(call.act, value) : value);
                }
            }
        };
        if (call.c.dtype == call.a.dtype)
            store(rows_of<T>(call.c, "c"));
        else
            store(rows_of<A>(call.c, "c"));
    });
}

} // namespace oracle
} // namespace tnl
