#include "tensor/device_cuda.h"

#include "base/memory.h"

namespace tnl {
namespace {

struct Event {
    Event() { check_cuda(cudaEventCreate(&event), "cudaEventCreate"); }
    ~Event() { cudaEventDestroy(event); }
    Event(const Event&) = delete;
    Event& operator=(const Event&) = delete;
    void record(cudaStream_t stream) const {
        check_cuda(cudaEventRecord(event, stream), "cudaEventRecord");
    }
    cudaEvent_t event = nullptr;
};

// A CUDA graph. It is recorded again where the stream's scratch has moved since: kernels' arguments
// are addresses.
class CudaRecording final : public Recording {
  public:
    CudaRecording(const CudaStream& cuda, std::function<void()> work)
        : cuda_(cuda), work_(std::move(work)) {
        record();
    }
    ~CudaRecording() override { drop(); }
    CudaRecording(const CudaRecording&) = delete;
    CudaRecording& operator=(const CudaRecording&) = delete;

    void replay() override {
        cuda_.use();
        if (!executable_ || scratch_ != cuda_.scratch_address()) {
            check_cuda(cudaStreamSynchronize(cuda_.stream), "a kernel or copy");
            drop();
            record();
        }
        check_cuda(cudaGraphLaunch(executable_, cuda_.stream), "cudaGraphLaunch");
    }

  private:
    void record() {
        cuda_.use();
        scratch_ = cuda_.scratch_address();
        // Other threads may allocate meanwhile.
        check_cuda(cudaStreamBeginCapture(cuda_.stream, cudaStreamCaptureModeThreadLocal),
                   "cudaStreamBeginCapture");
        cudaGraph_t graph = nullptr;
        try {
            work_();
        } catch (...) {
            cudaStreamEndCapture(cuda_.stream, &graph);
            if (graph) cudaGraphDestroy(graph);
            cudaGetLastError(); // what made the capture invalid is told by what was thrown
            throw;
        }
        check_cuda(cudaStreamEndCapture(cuda_.stream, &graph), "cudaStreamEndCapture");
        const cudaError_t made = cudaGraphInstantiate(&executable_, graph, 0);
        cudaGraphDestroy(graph);
        check_cuda(made, "cudaGraphInstantiate");
        const cudaError_t sent = cudaGraphUpload(executable_, cuda_.stream);
        if (sent != cudaSuccess) drop();
        check_cuda(sent, "cudaGraphUpload");
    }
    void drop() noexcept {
        if (!executable_) return;
        cudaSetDevice(cuda_.device);
        cudaGraphExecDestroy(executable_);
        executable_ = nullptr;
    }

    const CudaStream& cuda_;
    std::function<void()> work_;
    cudaGraphExec_t executable_ = nullptr;
    const void* scratch_ = nullptr;
};

class CudaDevice final : public Device {
  public:
    CudaDevice(int index, int host_threads) : threads_(host_threads), cuda_(index) {
        stream_ = {DeviceKind::cuda, &threads_, &cuda_};
    }
    DeviceKind kind() const override { return DeviceKind::cuda; }
    std::string name() const override {
        return fmt::format("{}, {} SMs, compute {}.{}", cuda_.props.name,
                           cuda_.props.multiProcessorCount, cuda_.props.major, cuda_.props.minor);
    }
    Stream& stream() override { return stream_; }

    void* allocate(size_t bytes) override {
        cuda_.use();
        void* memory = nullptr;
        const cudaError_t error = cudaMalloc(&memory, bytes == 0 ? 256 : bytes);
        if (error == cudaErrorMemoryAllocation) {
            cudaGetLastError();
            fail("out of GPU memory on {}: wanted {} bytes, {} of {} are free", cuda_.props.name,
                 bytes, memory_free(), memory_total());
        }
        check_cuda(error, "cudaMalloc");
        return memory;
    }
    void release(void* memory) noexcept override {
        // cudaFree waits for the whole device, so no kernel still uses the memory.
        cudaSetDevice(cuda_.device);
        cudaFree(memory);
    }
    void* allocate_host(size_t bytes) override {
        cuda_.use();
        void* memory = nullptr;
        const cudaError_t error = cudaMallocHost(&memory, bytes == 0 ? 256 : bytes);
        if (error == cudaErrorMemoryAllocation) {
            cudaGetLastError();
            fail("out of page-locked host memory: wanted {} bytes, {} are free", bytes,
                 available_memory());
        }
        check_cuda(error, "cudaMallocHost");
        return memory;
    }
    void release_host(void* memory) noexcept override {
        cudaSetDevice(cuda_.device);
        cudaDeviceSynchronize(); // no kernel still uses it
        cudaFreeHost(memory);
    }
    // From pageable memory the runtime has taken its own copy when this returns.
    void upload(void* device, const void* host, size_t bytes) override {
        transfer(device, host, bytes, "upload");
    }
    void download(void* host, const void* device, size_t bytes) override {
        transfer(host, device, bytes, "download");
        synchronize();
    }
    void copy(void* to, const void* from, size_t bytes) override {
        transfer(to, from, bytes, "copy on the device");
    }
    void zero(void* memory, size_t bytes) override {
        if (bytes == 0) return;
        cuda_.use();
        check_cuda(cudaMemsetAsync(memory, 0, bytes, cuda_.stream), "cudaMemsetAsync");
    }
    void synchronize() override {
        cuda_.use();
        check_cuda(cudaStreamSynchronize(cuda_.stream), "a kernel or copy");
    }
    double seconds(const std::function<void()>& work) override {
        cuda_.use();
        const Event begin, end;
        begin.record(cuda_.stream);
        work();
        end.record(cuda_.stream);
        check_cuda(cudaEventSynchronize(end.event), "a kernel or copy");
        float milliseconds = 0;
        check_cuda(cudaEventElapsedTime(&milliseconds, begin.event, end.event),
                   "cudaEventElapsedTime");
        return static_cast<double>(milliseconds) * 1e-3;
    }
    std::unique_ptr<Recording> record(std::function<void()> work) override {
        return std::make_unique<CudaRecording>(cuda_, std::move(work));
    }
    size_t memory_total() const override { return memory().total; }
    size_t memory_free() const override { return memory().free; }

  private:
    struct Memory {
        size_t free = 0, total = 0;
    };
    Memory memory() const {
        cuda_.use();
        Memory m;
        check_cuda(cudaMemGetInfo(&m.free, &m.total), "cudaMemGetInfo");
        return m;
    }
    // The addresses tell which way: "device" may be the host's memory (Place::host).
    void transfer(void* to, const void* from, size_t bytes, const char* what) {
        if (bytes == 0) return;
        cuda_.use();
        check_cuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, cuda_.stream), what);
    }

    ThreadPool threads_;
    CudaStream cuda_;
    Stream stream_;
};

} // namespace

int cuda_device_count() {
    int count = 0;
    if (cudaGetDeviceCount(&count) == cudaSuccess) return count;
    cudaGetLastError(); // no driver, or no GPU: none to use
    return 0;
}

std::unique_ptr<Device> make_cuda_device(int index, int host_threads) {
    const int count = cuda_device_count();
    if (count == 0) throw UsageError("no CUDA GPU answers on this machine; use --device cpu");
    if (index < 0 || index >= count)
        throw UsageError(
            fmt::format("no GPU {}: this machine has {}, counted from 0", index, count));
    return std::make_unique<CudaDevice>(index, host_threads);
}

} // namespace tnl
