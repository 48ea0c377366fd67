// Whatever metrics.jsonl holds, it is refused with an Error or gives as many x as y.
#include "base/check.h"
#include "testing/fuzz_file.h"
#include "train/curves.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace tnl;
    const auto path = testing::fuzz_file("metrics.jsonl", data, size);
    try {
        const Curve curve = read_curve(path, PlotX::steps, "loss");
        for (const Points* points : {&curve.train, &curve.held_out}) {
            if (points->x.size() != points->y.size()) std::abort();
            if (smoothed(points->y, 2).size() != points->y.size()) std::abort();
        }
    } catch (const Error&) {
    }
    return 0;
}
