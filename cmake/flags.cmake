# One interface target carries the warnings and the hardening; the build type adds the sanitizers.
add_library(house INTERFACE)
target_include_directories(house INTERFACE ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR}/generated)
target_compile_definitions(house INTERFACE _GNU_SOURCE POOLGATE_VERSION="${PROJECT_VERSION}")
target_compile_options(house INTERFACE
    -Wall -Wextra -Wconversion -Wshadow -Wformat=2 -Werror -Wno-gnu-zero-variadic-macro-arguments
    -fno-strict-aliasing -fstack-protector-strong)

set(CMAKE_C_FLAGS_RELEASE "-O2 -g" CACHE STRING "" FORCE)
set(CMAKE_C_FLAGS_ASAN "-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined" CACHE STRING "" FORCE)
set(CMAKE_C_FLAGS_TSAN "-O1 -g -fno-omit-frame-pointer -fsanitize=thread" CACHE STRING "" FORCE)
set(CMAKE_C_FLAGS_FUZZ "-O1 -g -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined" CACHE STRING "" FORCE)
set(CMAKE_C_FLAGS_COVERAGE "-O0 -g --coverage" CACHE STRING "" FORCE)
if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
if(CMAKE_BUILD_TYPE STREQUAL "Release")
    target_compile_definitions(house INTERFACE _FORTIFY_SOURCE=2)
    add_link_options(-Wl,-z,relro,-z,now)
endif()
