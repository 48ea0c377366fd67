// transnormer._native: one class, a call of libtransnormer. Arrays come as addresses and strides,
// so that any framework's will do; the Python files beside this one know which.
#include <transnormer/lightning.h>

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>

#include <new>
#include <tuple>

// Exported for XLA alone: no header declares them.
extern "C" {
void* tnl_xla_forward_cpu(void*);
void* tnl_xla_backward_cpu(void*);
void* tnl_xla_forward_gpu(void*);
void* tnl_xla_backward_gpu(void*);
}

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using Rows = std::tuple<uintptr_t, int64_t, int64_t, int64_t>; // address; strides in elements
using Sizes = std::tuple<int64_t, int64_t, int64_t, int64_t, int64_t>; // B, T, H, D, E

template <class T = void> T* pointer(uintptr_t address) { return reinterpret_cast<T*>(address); }

tnl_rows rows(const Rows& r) {
    return {pointer(std::get<0>(r)), std::get<1>(r), std::get<2>(r), std::get<3>(r)};
}

void check(tnl_status status) {
    if (status == TNL_OK) return;
    const char* message = tnl_last_error();
    if (status == TNL_INVALID) throw nb::value_error(message);
    if (status == TNL_NO_MEMORY) throw std::bad_alloc();
    throw std::runtime_error(message);
}

class Call {
  public:
    Call(int32_t gpu, uintptr_t stream, int32_t dtype, const Sizes& sizes, double scale,
         const Rows& q, const Rows& k, const Rows& v, uintptr_t decay, uintptr_t cu_seqlens,
         int64_t sequences, bool cu_seqlens_on_gpu) {
        call_.gpu = gpu;
        call_.stream = pointer(stream);
        call_.dtype = dtype;
        std::tie(call_.B, call_.T, call_.H, call_.D, call_.E) = sizes;
        call_.scale = scale;
        call_.q = rows(q);
        call_.k = rows(k);
        call_.v = rows(v);
        call_.decay = pointer(decay);
        call_.cu_seqlens = pointer<int32_t>(cu_seqlens);
        call_.sequences = sequences;
        call_.cu_seqlens_on_gpu = cu_seqlens_on_gpu;
    }

    void forward(const Rows& o, uintptr_t state_in, uintptr_t state_out, uintptr_t slots,
                 int64_t states, uintptr_t workspace, size_t workspace_bytes) {
        call_.o = rows(o);
        call_.state_in = pointer(state_in);
        call_.state_out = pointer(state_out);
        call_.slots = pointer<int32_t>(slots);
        call_.states = states;
        set_workspace(workspace, workspace_bytes);
        run(tnl_lightning_forward);
    }

    void backward(const Rows& dout, uintptr_t dstate_out, uintptr_t state_in, const Rows& dq,
                  const Rows& dk, const Rows& dv, uintptr_t dstate_in, uintptr_t workspace,
                  size_t workspace_bytes) {
        call_.dout = rows(dout);
        call_.dstate_out = pointer(dstate_out);
        call_.state_in = pointer(state_in);
        call_.dq = rows(dq);
        call_.dk = rows(dk);
        call_.dv = rows(dv);
        call_.dstate_in = pointer(dstate_in);
        set_workspace(workspace, workspace_bytes);
        run(tnl_lightning_backward);
    }

    size_t workspace(bool backward) const {
        size_t bytes = 0;
        check(tnl_lightning_workspace(&call_, backward ? 1 : 0, &bytes));
        return bytes;
    }

    std::string plan(bool backward) {
        // Without outputs yet: as if they lay as the inputs do.
        tnl_lightning call = call_;
        call.o = call.dout = call.dv = call.v;
        call.dq = call.q;
        call.dk = call.k;
        char text[512];
        check(tnl_lightning_plan(&call, backward ? 1 : 0, text, sizeof text));
        return text;
    }

  private:
    void set_workspace(uintptr_t address, size_t bytes) {
        call_.workspace = pointer(address);
        call_.workspace_bytes = bytes;
    }
    void run(tnl_status (*function)(const tnl_lightning*)) const {
        tnl_status status = TNL_OK;
        {
            const nb::gil_scoped_release release;
            status = function(&call_);
        }
        check(status);
    }
    tnl_lightning call_ = tnl_lightning_init();
};

} // namespace

NB_MODULE(_native, m) {
    m.attr("F64") = static_cast<int>(TNL_F64);
    m.attr("F32") = static_cast<int>(TNL_F32);
    m.attr("BF16") = static_cast<int>(TNL_BF16);
    m.attr("F16") = static_cast<int>(TNL_F16);
    m.attr("CPU") = static_cast<int>(TNL_CPU);
    m.def("version", [] { return std::string(tnl_version()); });
    m.def("built_with_cuda", [] { return tnl_built_with_cuda() != 0; });
    m.def("cuda_devices", [] { return tnl_cuda_devices(); });
    m.def("threads", [] { return tnl_threads(); });
    m.def("set_threads", [](int n) { check(tnl_set_threads(n)); });

    const auto handler = [](void* (*function)(void*)) {
        return nb::capsule(reinterpret_cast<void*>(function), "xla._CUSTOM_CALL_TARGET");
    };
    m.attr("xla_forward_cpu") = handler(tnl_xla_forward_cpu);
    m.attr("xla_backward_cpu") = handler(tnl_xla_backward_cpu);
    m.attr("xla_forward_gpu") = handler(tnl_xla_forward_gpu);
    m.attr("xla_backward_gpu") = handler(tnl_xla_backward_gpu);

    nb::class_<Call>(m, "Call")
        .def(nb::init<int32_t, uintptr_t, int32_t, const Sizes&, double, const Rows&, const Rows&,
                      const Rows&, uintptr_t, uintptr_t, int64_t, bool>(),
             "gpu"_a, "stream"_a, "dtype"_a, "sizes"_a, "scale"_a, "q"_a, "k"_a, "v"_a, "decay"_a,
             "cu_seqlens"_a, "sequences"_a, "cu_seqlens_on_gpu"_a)
        .def("forward", &Call::forward, "o"_a, "state_in"_a, "state_out"_a, "slots"_a, "states"_a,
             "workspace"_a, "workspace_bytes"_a)
        .def("backward", &Call::backward, "dout"_a, "dstate_out"_a, "state_in"_a, "dq"_a, "dk"_a,
             "dv"_a, "dstate_in"_a, "workspace"_a, "workspace_bytes"_a)
        .def("workspace", &Call::workspace, "backward"_a)
        .def("plan", &Call::plan, "backward"_a);
}
