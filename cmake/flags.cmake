# One interface target carries the warnings and the hardening; the build type adds the sanitizers.
include(CheckCCompilerFlag)
include(CheckPIESupported)

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

# What ships: for everything that is compiled, the generated protobuf code too. scripts/lint looks at the
# binaries that came of it.
if(CMAKE_BUILD_TYPE STREQUAL "Release")
    add_compile_options(-fstack-protector-strong -fno-delete-null-pointer-checks)
    # Each where compiler and machine know it: level 3 needs gcc 12, protected branches x86 or arm64.
    foreach(flag -fstack-clash-protection -fcf-protection=full -mbranch-protection=standard -ftrivial-auto-var-init=zero)
        string(MAKE_C_IDENTIFIER "HAS${flag}" known)
        check_c_compiler_flag(${flag} ${known})
        if(${known})
            add_compile_options(${flag})
        endif()
    endforeach()
    # Some compilers come with a level of their own, which must not be defined twice.
    add_compile_options(-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)
    add_link_options(-Wl,-z,relro,-z,now,-z,noexecstack,-z,separate-code)
    check_pie_supported(LANGUAGES C) # then CMAKE_POSITION_INDEPENDENT_CODE links with -pie
endif()

# whole_program(target…): what these libraries hold may be inlined across files, in the programs that are linked
# as one (linked_as_one(target…)). All others, the tests, link the same objects as they are.
if(CMAKE_BUILD_TYPE STREQUAL "Release" AND CMAKE_C_COMPILER_ID STREQUAL "GNU")
    add_link_options($<$<NOT:$<BOOL:$<TARGET_PROPERTY:LINKED_AS_ONE>>>:-fno-lto>)
    function(whole_program)
        foreach(target ${ARGN})
            target_compile_options(${target} PRIVATE -flto -ffat-lto-objects)
        endforeach()
    endfunction()
    function(linked_as_one)
        foreach(target ${ARGN})
            set_target_properties(${target} PROPERTIES LINKED_AS_ONE ON)
            target_link_options(${target} PRIVATE -flto=auto -O2)
        endforeach()
    endfunction()
else()
    function(whole_program)
    endfunction()
    function(linked_as_one)
    endfunction()
endif()
