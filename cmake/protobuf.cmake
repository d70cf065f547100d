# proto_library(name file.proto): protobuf-c code generated into the build, compiled without the house's
# warnings, included as "protos/file.pb-c.h".
find_program(PROTOC_C protoc-c REQUIRED)
function(proto_library target file)
    get_filename_component(stem ${file} NAME_WE)
    set(folder ${CMAKE_BINARY_DIR}/generated/protos)
    file(MAKE_DIRECTORY ${folder})
    add_custom_command(
        OUTPUT ${folder}/${stem}.pb-c.c ${folder}/${stem}.pb-c.h
        COMMAND ${PROTOC_C} --proto_path=${CMAKE_SOURCE_DIR}/protos --c_out=${folder} ${file}
        DEPENDS ${CMAKE_SOURCE_DIR}/protos/${file})
    add_library(${target} STATIC ${folder}/${stem}.pb-c.c ${folder}/${stem}.pb-c.h)
    target_include_directories(${target} PUBLIC ${CMAKE_BINARY_DIR}/generated)
    target_link_libraries(${target} PUBLIC PkgConfig::PROTOBUF_C)
endfunction()
