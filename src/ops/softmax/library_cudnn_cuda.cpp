#include "ops/softmax/library_cudnn_cuda.h"

#include <dlfcn.h>

#include <cstdlib>
#include <string_view>

namespace tnl::cudnn {
namespace {

// Never closed: its threads and contexts live as long as the program.
const Library* open() {
    if (const char* wanted = std::getenv("TNL_CUDNN"); wanted && std::string_view(wanted) == "0")
        return nullptr;
    void* file = dlopen("libcudnn.so.9", RTLD_NOW | RTLD_LOCAL);
    if (!file) return nullptr;
    static Library found;
    bool all = true;
    const auto get = [&]<class F>(F& function, const char* name) {
        function = reinterpret_cast<F>(dlsym(file, name));
        all = all && function;
    };
    get(found.version, "cudnnGetVersion");
    get(found.create, "cudnnCreate");
    get(found.set_stream, "cudnnSetStream");
    get(found.last_error, "cudnnGetLastErrorString");
    get(found.create_descriptor, "cudnnBackendCreateDescriptor");
    get(found.destroy_descriptor, "cudnnBackendDestroyDescriptor");
    get(found.set_attribute, "cudnnBackendSetAttribute");
    get(found.get_attribute, "cudnnBackendGetAttribute");
    get(found.finalize, "cudnnBackendFinalize");
    get(found.execute, "cudnnBackendExecute");
    // Before 9.6 packed sequences want other graphs than these.
    return all && found.version() >= 90600 ? &found : nullptr;
}

} // namespace

const Library* library() {
    static const Library* const opened = open();
    return opened;
}

void check(cudnnStatus_t status, const char* what) {
    if (status == CUDNN_STATUS_SUCCESS) [[likely]]
        return;
    char words[1024] = "";
    library()->last_error(words, sizeof(words));
    throw DeviceError(
        fmt::format("cuDNN: {} failed with status {}: {}", what, static_cast<int>(status), words));
}

Descriptor::Descriptor(cudnnBackendDescriptorType_t type) {
    check(library()->create_descriptor(type, &raw_), "cudnnBackendCreateDescriptor");
}

Descriptor::~Descriptor() {
    if (raw_) library()->destroy_descriptor(raw_);
}

Descriptor& Descriptor::set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                            int64_t count, const void* values) {
    const cudnnStatus_t status = library()->set_attribute(raw_, name, type, count, values);
    if (status != CUDNN_STATUS_SUCCESS)
        check(status, fmt::format("setting attribute {}", static_cast<int>(name)).c_str());
    return *this;
}

Descriptor& Descriptor::finalize(const char* what) {
    check(library()->finalize(raw_), what);
    return *this;
}

bool Descriptor::try_finalize() { return library()->finalize(raw_) == CUDNN_STATUS_SUCCESS; }

} // namespace tnl::cudnn
