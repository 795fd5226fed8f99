if(CULVERT_SANITIZE)
  add_compile_options(-fsanitize=${CULVERT_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${CULVERT_SANITIZE})
  # So that the sanitizer sees a coroutine frame being freed.
  add_compile_definitions(BOOST_ASIO_DISABLE_AWAITABLE_FRAME_RECYCLING)
  if(CULVERT_SANITIZE MATCHES "thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    add_compile_options(-Wno-tsan)
  endif()
  if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    # clang 14 cannot place the type data of `function` before the parts of a split coroutine; `vptr` needs type
    # information that Debian's SOCI does not export.
    add_compile_options(-fno-sanitize=function,vptr)
  endif()
endif()
