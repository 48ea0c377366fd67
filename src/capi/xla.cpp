// The operator as XLA custom calls, for JAX: four handlers, forward and backward on the CPU and on
// a GPU, all of
//   forward   q, k, v, decay, state_in, cu_seqlens -> o, state_out, workspace
//   backward  do, dstate_out, q, k, v, decay, state_in, cu_seqlens
//             -> dq, dk, dv, dstate_in, workspace
// with attributes scale (f32) and head_first (s32). Buffers without elements are absent ones.
#include "capi/xla.h"

#include <transnormer/lightning_c.h>

#include <stdexcept>
#include <string>
#include <string_view>

namespace tnl::xla {
namespace {

// What is wrong with a call's form, which only the Python side can cause.
[[noreturn]] void wrong(const std::string& what) { throw std::runtime_error("lightning: " + what); }

const Buffer& buffer(const Buffers& buffers, int64_t i) {
    if (i >= buffers.count || buffers.kinds[i] != 1)
        wrong("a custom call with " + std::to_string(buffers.count) + " buffers");
    return *static_cast<const Buffer*>(buffers.values[i]);
}

template <class T> T attribute(const Frame& frame, std::string_view name, Type type) {
    const Attributes& all = frame.attributes;
    for (int64_t i = 0; i < all.count; ++i) {
        if (std::string_view(all.names[i]->data, all.names[i]->size) != name) continue;
        const auto* scalar = static_cast<const Scalar*>(all.values[i]);
        if (all.kinds[i] == 3 && scalar->type == type) return *static_cast<const T*>(scalar->value);
    }
    wrong("a custom call without the attribute " + std::string(name));
}

int64_t elements(const Buffer& b) {
    int64_t n = 1;
    for (int64_t i = 0; i < b.rank; ++i) n *= b.dims[i];
    return n;
}
void* data_of(const Buffer& b) { return elements(b) == 0 ? nullptr : b.data; }

int32_t dtype_of(Type type) {
    switch (type) {
    case Type::f64:
        return TNL_F64;
    case Type::f32:
        return TNL_F32;
    case Type::bf16:
        return TNL_BF16;
    case Type::f16:
        return TNL_F16;
    default:
        wrong("q of XLA type " + std::to_string(static_cast<int>(type)));
    }
}

struct Request {
    tnl_lightning call = tnl_lightning_init();
    bool head_first = false;

    // The inputs, from argument `first` on.
    Request(const Frame& frame, int32_t gpu, int64_t first) {
        const Buffers& in = frame.arguments;
        const Buffer &q = buffer(in, first), &v = buffer(in, first + 2);
        if (q.rank != 4 || v.rank != 4) wrong("q and v of rank other than 4");
        head_first = attribute<int32_t>(frame, "head_first", Type::s32) != 0;
        call.scale = static_cast<double>(attribute<float>(frame, "scale", Type::f32));
        call.dtype = dtype_of(q.type);
        call.B = q.dims[0];
        call.T = q.dims[head_first ? 2 : 1];
        call.H = q.dims[head_first ? 1 : 2];
        call.D = q.dims[3];
        call.E = v.dims[3];
        call.q = rows(q);
        call.k = rows(buffer(in, first + 1));
        call.v = rows(v);
        call.decay = buffer(in, first + 3).data;
        call.state_in = data_of(buffer(in, first + 4));
        const Buffer& cu = buffer(in, first + 5);
        if (elements(cu) > 0) {
            call.cu_seqlens = static_cast<const int32_t*>(cu.data);
            call.sequences = elements(cu) - 1;
            call.cu_seqlens_on_gpu = gpu != TNL_CPU;
        }
        call.gpu = gpu;
        if (gpu == TNL_CPU) return;
        StreamGet get{};
        get.struct_size = sizeof get;
        get.context = frame.context;
        if (frame.api->stream_get(&get)) wrong("XLA has no stream for a call on a GPU");
        call.stream = get.stream;
    }
    tnl_rows rows(const Buffer& b) const {
        const int64_t width = b.dims[3];
        tnl_rows out = tnl_contiguous(b.data, call.T, call.H, width);
        if (head_first) {
            out.head = call.T * width;
            out.token = width;
        }
        return out;
    }
    void set_workspace(const Buffer& b) {
        call.workspace = data_of(b);
        call.workspace_bytes = static_cast<size_t>(elements(b));
    }
};

tnl_status forward(const Frame& frame, int32_t gpu) {
    Request request(frame, gpu, 0);
    request.call.o = request.rows(buffer(frame.results, 0));
    request.call.state_out = data_of(buffer(frame.results, 1));
    request.set_workspace(buffer(frame.results, 2));
    return tnl_lightning_forward(&request.call);
}

tnl_status backward(const Frame& frame, int32_t gpu) {
    Request request(frame, gpu, 2);
    request.call.dout = request.rows(buffer(frame.arguments, 0));
    request.call.dstate_out = data_of(buffer(frame.arguments, 1));
    request.call.dq = request.rows(buffer(frame.results, 0));
    request.call.dk = request.rows(buffer(frame.results, 1));
    request.call.dv = request.rows(buffer(frame.results, 2));
    request.call.dstate_in = data_of(buffer(frame.results, 3));
    request.set_workspace(buffer(frame.results, 4));
    return tnl_lightning_backward(&request.call);
}

Error* error(const Frame& frame, const char* message, Code code) {
    ErrorCreate create{};
    create.struct_size = sizeof create;
    create.message = message;
    create.code = code;
    return frame.api->error_create(&create);
}

Error* handle(Frame* frame, int32_t gpu, tnl_status (*run)(const Frame&, int32_t)) noexcept {
    // Asked what it is, a handler of the oldest interface fits whatever version asks.
    if (frame->extensions && frame->extensions->type == 1) {
        Metadata& metadata = *static_cast<MetadataExtension*>(frame->extensions)->metadata;
        metadata.version.major = frame->api->version.major;
        metadata.version.minor = frame->api->version.minor;
        metadata.traits = 0;
        return nullptr;
    }
    try {
        const tnl_status status = run(*frame, gpu);
        if (status == TNL_OK) return nullptr;
        const Code code = status == TNL_INVALID     ? Code::invalid_argument
                          : status == TNL_NO_MEMORY ? Code::resource_exhausted
                                                    : Code::internal;
        return error(*frame, tnl_last_error(), code);
    } catch (const std::exception& e) {
        return error(*frame, e.what(), Code::internal);
    }
}

} // namespace
} // namespace tnl::xla

extern "C" {
TNL_API void* tnl_xla_forward_cpu(tnl::xla::Frame* frame) {
    return tnl::xla::handle(frame, TNL_CPU, tnl::xla::forward);
}
TNL_API void* tnl_xla_backward_cpu(tnl::xla::Frame* frame) {
    return tnl::xla::handle(frame, TNL_CPU, tnl::xla::backward);
}
TNL_API void* tnl_xla_forward_gpu(tnl::xla::Frame* frame) {
    return tnl::xla::handle(frame, TNL_GPU_OF_DATA, tnl::xla::forward);
}
TNL_API void* tnl_xla_backward_gpu(tnl::xla::Frame* frame) {
    return tnl::xla::handle(frame, TNL_GPU_OF_DATA, tnl::xla::backward);
}
}
