// A device: where memory lies and kernels run. Two kinds: the CPU, always there, and CUDA GPUs,
// where the file device_cuda.cpp is linked (device_no_cuda.cpp otherwise).
#pragma once

#include "base/threads.h"
#include "tensor/tensor.h"

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <utility>

namespace tnl {

enum class DeviceKind { cpu, cuda };

// Where memory lies: with the device, or in the host's memory, which its kernels reach over the
// bus.
enum class Place { device, host };

// What a kernel launch needs: the pool on the CPU, the stream and library handles on a GPU.
// Work given to one stream runs in order.
struct Stream {
    DeviceKind kind = DeviceKind::cpu;
    ThreadPool* threads = nullptr; // host threads; set on every device
    void* cuda = nullptr;          // CudaStream* (src/cuda/stream.h), null on the CPU
    // The same shapes come again and again, as in training: a GPU may time kernels at their first
    // use, and keep to the fastest (ops/gemm/algorithms.h).
    bool same_shapes = false;
};

// Work that was given to a stream once and can be given to it again at little cost.
class Recording {
  public:
    virtual ~Recording() = default;
    virtual void replay() = 0; // in stream order
};

class Device {
  public:
    virtual ~Device() = default;
    virtual DeviceKind kind() const = 0;
    virtual std::string name() const = 0; // e.g. "AMD EPYC, 2 threads, avx2"
    virtual Stream& stream() = 0;
    virtual void* allocate(size_t bytes) = 0; // 256-byte aligned; throws with sizes
    virtual void release(void* memory) noexcept = 0;
    // Host memory that kernels of the device reach, too, over the bus; on the CPU the same as the
    // others. All that moves memory takes its addresses as it takes the device's own.
    virtual void* allocate_host(size_t bytes) = 0; // 256-byte aligned; throws with sizes
    virtual void release_host(void* memory) noexcept = 0;
    virtual void upload(void* device, const void* host, size_t bytes) = 0;   // in stream order
    virtual void download(void* host, const void* device, size_t bytes) = 0; // waits
    virtual void copy(void* to, const void* from, size_t bytes) = 0;         // device to device
    virtual void zero(void* memory, size_t bytes) = 0;
    virtual void synchronize() = 0;
    // Seconds that the device takes for what `work` gives to the stream, by its own clock; waits.
    virtual double seconds(const std::function<void()>& work) = 0;
    // Keeps what `work` gives to the stream, without running it. The work must have run before as
    // it is, so that nothing is set up at its first use; its kernels' arguments stay as they are
    // now; it does not wait, allocate, or copy from or to pageable memory (Place::host is none). On
    // a GPU one launch (a CUDA graph), on the CPU the function itself, which must outlive its use.
    virtual std::unique_ptr<Recording> record(std::function<void()> work) = 0;
    virtual size_t memory_total() const = 0; // bytes
    virtual size_t memory_free() const = 0;
};

// threads = 0: one per available core.
std::unique_ptr<Device> make_cpu_device(int threads = 0);
// Throws where the build has no CUDA or no GPU answers.
std::unique_ptr<Device> make_cuda_device(int index = 0, int host_threads = 0);
int cuda_device_count(); // 0 where the build has no CUDA
// "cpu", "cuda", "cuda:1" or "auto" (a GPU if there is one).
std::unique_ptr<Device> make_device(const std::string& spec, int threads = 0);

// One allocation, freed at the end of the scope.
class Buffer {
  public:
    Buffer() = default;
    Buffer(Device& device, size_t bytes, Place place = Place::device);
    ~Buffer();
    Buffer(Buffer&& other) noexcept;
    Buffer& operator=(Buffer&& other) noexcept;
    void* data() const { return data_; }
    size_t bytes() const { return bytes_; }

  private:
    Device* device_ = nullptr;
    void* data_ = nullptr;
    size_t bytes_ = 0;
    Place place_ = Place::device;
};

// A contiguous tensor that owns its memory; for tests, tools and loaders. Code on the training path
// uses arenas.
class OwnedTensor : public Tensor {
  public:
    OwnedTensor() = default;
    OwnedTensor(Device& device, DType dtype, std::initializer_list<int64_t> dims,
                Place place = Place::device);
    OwnedTensor(Device& device, DType dtype, const int64_t* dims, int rank,
                Place place = Place::device);

  private:
    Buffer buffer_;
};

} // namespace tnl
