// Where a call of the C interface runs: one file for the CPU, one for GPUs (run_no_cuda.cpp where
// there are none).
#pragma once

#include "capi/request.h"

#include <string>

namespace tnl::capi {

void set_threads(int n);
int threads();

void forward_cpu(const tnl_lightning& call);
void backward_cpu(const tnl_lightning& call);
std::string plan_cpu(const tnl_lightning& call, bool backward);

int gpus();
bool built_with_cuda();
int gpu_of(const void* data); // the current one for null
void forward_gpu(const tnl_lightning& call);
void backward_gpu(const tnl_lightning& call);
size_t workspace_gpu(const tnl_lightning& call, bool backward);
std::string plan_gpu(const tnl_lightning& call, bool backward);

} // namespace tnl::capi
