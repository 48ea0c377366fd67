// cuDNN, opened when it is first asked for, so that a program runs where there is none; and its
// backend descriptors as objects.
#pragma once

#include "base/check.h"

#include <cudnn.h>

#include <utility>
#include <vector>

namespace tnl::cudnn {

struct Library {
    decltype(&cudnnGetVersion) version;
    decltype(&cudnnCreate) create;
    decltype(&cudnnSetStream) set_stream;
    decltype(&cudnnGetLastErrorString) last_error;
    decltype(&cudnnBackendCreateDescriptor) create_descriptor;
    decltype(&cudnnBackendDestroyDescriptor) destroy_descriptor;
    decltype(&cudnnBackendSetAttribute) set_attribute;
    decltype(&cudnnBackendGetAttribute) get_attribute;
    decltype(&cudnnBackendFinalize) finalize;
    decltype(&cudnnBackendExecute) execute;
};

// libcudnn.so.9 on the loader's path (LD_LIBRARY_PATH); null where it is not, or is older than 9.6,
// or TNL_CUDNN=0 says to do without.
const Library* library();

// Throws DeviceError with cuDNN's own words.
void check(cudnnStatus_t status, const char* what);

// One backend descriptor.
class Descriptor {
  public:
    explicit Descriptor(cudnnBackendDescriptorType_t type);
    ~Descriptor();
    Descriptor(Descriptor&& other) noexcept : raw_(std::exchange(other.raw_, nullptr)) {}
    Descriptor& operator=(Descriptor&& other) noexcept {
        std::swap(raw_, other.raw_);
        return *this;
    }
    cudnnBackendDescriptor_t raw() const { return raw_; }

    // Attributes of the type that T stands for.
    template <class T> Descriptor& set(cudnnBackendAttributeName_t name, const T& value) {
        return set(name, type_of(value), 1, &value);
    }
    template <class T>
    Descriptor& set(cudnnBackendAttributeName_t name, const std::vector<T>& values) {
        return set(name, type_of(T{}), static_cast<int64_t>(values.size()), values.data());
    }
    Descriptor& set(cudnnBackendAttributeName_t name, const Descriptor& value) {
        return set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value.raw_);
    }
    Descriptor& set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                    int64_t count, const void* values);
    Descriptor& finalize(const char* what);
    // False where cuDNN does not support what the descriptor asks for.
    bool try_finalize();

  private:
    static cudnnBackendAttributeType_t type_of(int64_t) { return CUDNN_TYPE_INT64; }
    static cudnnBackendAttributeType_t type_of(bool) { return CUDNN_TYPE_BOOLEAN; }
    static cudnnBackendAttributeType_t type_of(float) { return CUDNN_TYPE_FLOAT; }
    static cudnnBackendAttributeType_t type_of(void*) { return CUDNN_TYPE_VOID_PTR; }
    static cudnnBackendAttributeType_t type_of(cudnnHandle_t) { return CUDNN_TYPE_HANDLE; }
    static cudnnBackendAttributeType_t type_of(cudnnDataType_t) { return CUDNN_TYPE_DATA_TYPE; }
    static cudnnBackendAttributeType_t type_of(cudnnBackendHeurMode_t) {
        return CUDNN_TYPE_HEUR_MODE;
    }
    static cudnnBackendAttributeType_t type_of(cudnnPointwiseMode_t) {
        return CUDNN_TYPE_POINTWISE_MODE;
    }
    static cudnnBackendAttributeType_t type_of(cudnnReduceTensorOp_t) {
        return CUDNN_TYPE_REDUCTION_OPERATOR_TYPE;
    }
    cudnnBackendDescriptor_t raw_ = nullptr;
};

} // namespace tnl::cudnn
