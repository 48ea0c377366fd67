// The part of XLA's foreign function interface that the handlers of xla.cpp use, declared here so
// that nothing of XLA is needed to build them. The layout is its stable C ABI, 0.1 and later: every
// struct begins with its size and grows at its end.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tnl::xla {

struct Error;
struct Context;

struct Extension {
    size_t struct_size;
    int type; // 1: the caller asks what the handler is
    Extension* next;
};
struct Header {
    size_t struct_size;
    Extension* extensions;
};
struct Version : Header {
    int major, minor;
};

enum class Code : int { invalid_argument = 3, resource_exhausted = 8, internal = 13 };
struct ErrorCreate : Header {
    const char* message;
    Code code;
};
struct StreamGet : Header {
    Context* context;
    void* stream; // out
};

struct Api : Header {
    Version version;
    const void* internal;
    Error* (*error_create)(ErrorCreate*);
    void (*error_message)(void*);
    void (*error_destroy)(void*);
    Error* (*handler_register)(void*);
    Error* (*stream_get)(StreamGet*);
};

struct Metadata {
    size_t struct_size;
    Version version;
    uint32_t traits;
};
struct MetadataExtension : Extension {
    Metadata* metadata;
};

enum class Type : int { s32 = 4, u8 = 6, f16 = 10, f32 = 11, f64 = 12, bf16 = 16 };
struct Buffer : Header {
    Type type;
    void* data;
    int64_t rank;
    int64_t* dims;
};
struct Scalar {
    Type type;
    void* value;
};
struct Name {
    const char* data;
    size_t size;
};

struct Buffers : Header {
    int64_t count;
    int* kinds; // 1: Buffer
    void** values;
};
struct Attributes : Header {
    int64_t count;
    int* kinds; // 3: Scalar
    Name** names;
    void** values;
};

struct Frame : Header {
    const Api* api;
    Context* context;
    int stage; // 3: execute
    Buffers arguments, results;
    Attributes attributes;
};

} // namespace tnl::xla
