# Run at every build: cmake -D SOURCE=... -D OUTPUT=... -D ... -P version.cmake
# Writes version_data.h, touching it only when something in it changed.
set(COMMIT "unknown commit")
find_program(GIT git)
if(GIT)
  execute_process(COMMAND ${GIT} -C ${SOURCE} rev-parse --short=12 HEAD
    OUTPUT_VARIABLE HEAD OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE FAILED)
  if(NOT FAILED)
    set(COMMIT "commit ${HEAD}")
    execute_process(COMMAND ${GIT} -C ${SOURCE} status --porcelain --untracked-files=no
      OUTPUT_VARIABLE CHANGES ERROR_QUIET)
    if(CHANGES)
      string(APPEND COMMIT " with changes")
    endif()
  endif()
endif()
file(CONFIGURE OUTPUT ${OUTPUT} @ONLY CONTENT [[
#pragma once
namespace tnl {
inline constexpr const char* kVersion = "@VERSION@";
inline constexpr const char* kCommit = "@COMMIT@";
inline constexpr const char* kBuildType = "@BUILD_TYPE@";
inline constexpr const char* kCompiler = "@COMPILER@";
inline constexpr const char* kCuda = "@CUDA@";
inline constexpr const char* kSentencePieceVersion = "@SENTENCEPIECE@";
} // namespace tnl
]])
