#include "tensor/device.h"

#include "base/cpu.h"
#include "base/memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <cstring>

namespace tnl {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

size_t pages(int name) {
    return static_cast<size_t>(sysconf(name)) * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

class CpuRecording final : public Recording {
  public:
    explicit CpuRecording(std::function<void()> work) : work_(std::move(work)) {}
    void replay() override { work_(); }

  private:
    std::function<void()> work_;
};

class CpuDevice final : public Device {
  public:
    explicit CpuDevice(int threads) : threads_(threads) {
        stream_ = {DeviceKind::cpu, &threads_, nullptr};
    }
    DeviceKind kind() const override { return DeviceKind::cpu; }
    std::string name() const override {
        return fmt::format("{}, {} thread{}, {}", cpu_features().model, threads_.size(),
                           threads_.size() == 1 ? "" : "s", cpu_features().best_isa());
    }
    Stream& stream() override { return stream_; }
    void* allocate(size_t bytes) override {
        const size_t alignment = bytes >= kHugePage ? kHugePage : 256;
        const size_t rounded = (bytes + alignment - 1) / alignment * alignment;
        void* memory = std::aligned_alloc(alignment, rounded == 0 ? alignment : rounded);
        if (!memory)
            fail("out of memory: wanted {} bytes, {} of {} are free", bytes, memory_free(),
                 memory_total());
        // Huge pages: weights are streamed faster than small pages' addresses can be translated.
        if (alignment == kHugePage) madvise(memory, rounded, MADV_HUGEPAGE);
        return memory;
    }
    void release(void* memory) noexcept override { std::free(memory); }
    void* allocate_host(size_t bytes) override { return allocate(bytes); }
    void release_host(void* memory) noexcept override { release(memory); }
    void upload(void* device, const void* host, size_t bytes) override {
        copy(device, host, bytes);
    }
    void download(void* host, const void* device, size_t bytes) override {
        copy(host, device, bytes);
    }
    void copy(void* to, const void* from, size_t bytes) override {
        if (bytes != 0) std::memmove(to, from, bytes);
    }
    void zero(void* memory, size_t bytes) override {
        if (bytes != 0) std::memset(memory, 0, bytes);
    }
    void synchronize() override {}
    double seconds(const std::function<void()>& work) override {
        const auto begin = std::chrono::steady_clock::now();
        work();
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    }
    std::unique_ptr<Recording> record(std::function<void()> work) override {
        return std::make_unique<CpuRecording>(std::move(work));
    }
    size_t memory_total() const override { return pages(_SC_PHYS_PAGES); }
    size_t memory_free() const override { return available_memory(); }

  private:
    ThreadPool threads_;
    Stream stream_;
};

} // namespace

std::unique_ptr<Device> make_cpu_device(int threads) {
    return std::make_unique<CpuDevice>(threads);
}

std::unique_ptr<Device> make_device(const std::string& spec, int threads) {
    if (spec == "cpu") return make_cpu_device(threads);
    if (spec == "auto")
        return cuda_device_count() > 0 ? make_cuda_device(0, threads) : make_cpu_device(threads);
    if (spec == "cuda") return make_cuda_device(0, threads);
    if (spec.size() == 6 && spec.starts_with("cuda:") && spec[5] >= '0' && spec[5] <= '9')
        return make_cuda_device(spec[5] - '0', threads);
    throw UsageError(fmt::format("unknown device '{}', wanted cpu, cuda, cuda:N or auto", spec));
}

Buffer::Buffer(Device& device, size_t bytes, Place place)
    : device_(&device), bytes_(bytes), place_(place) {
    if (bytes > 0)
        data_ = place == Place::host ? device.allocate_host(bytes) : device.allocate(bytes);
}
Buffer::~Buffer() {
    if (!data_) return;
    if (place_ == Place::host)
        device_->release_host(data_);
    else
        device_->release(data_);
}
Buffer::Buffer(Buffer&& other) noexcept
    : device_(other.device_), data_(std::exchange(other.data_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)), place_(other.place_) {}
Buffer& Buffer::operator=(Buffer&& other) noexcept {
    std::swap(device_, other.device_);
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    std::swap(place_, other.place_);
    return *this;
}

OwnedTensor::OwnedTensor(Device& device, DType dtype_, const int64_t* dims, int rank_, Place place)
    : Tensor(nullptr, dtype_, dims, rank_),
      buffer_(device, static_cast<size_t>(Tensor::bytes()), place) {
    data = buffer_.data();
}
OwnedTensor::OwnedTensor(Device& device, DType dtype_, std::initializer_list<int64_t> dims,
                         Place place)
    : OwnedTensor(device, dtype_, dims.begin(), static_cast<int>(dims.size()), place) {}

} // namespace tnl
