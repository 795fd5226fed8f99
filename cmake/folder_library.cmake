# folder_library(NAME): a static library of every .cpp in this folder but main.cpp. A folder is a library.
function(folder_library name)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp ${CMAKE_CURRENT_SOURCE_DIR}/*.hpp)
  list(FILTER sources EXCLUDE REGEX "/main\\.cpp$")
  if(NOT sources MATCHES "\\.cpp")
    # Headers alone (or nothing yet) have nothing to archive.
    add_library(${name} INTERFACE)
    target_link_libraries(${name} INTERFACE Threads::Threads ${ARGN})
    return()
  endif()
  add_library(${name} STATIC ${sources})
  target_link_libraries(${name} PRIVATE culvert_warnings PUBLIC Threads::Threads ${ARGN})
endfunction()

# A test may take this many seconds, by its label; a sanitizer makes everything slower.
set(test_seconds_unit 60)
set(test_seconds_sim 180)
set(test_seconds_integration 180)
if(CULVERT_SANITIZE)
  set(test_seconds_unit 240)
  set(test_seconds_sim 600)
  set(test_seconds_integration 600)
endif()

# folder_tests(NAME LABEL libraries…): one Catch2 program of every .cpp in this folder, each case a ctest.
function(folder_tests name label)
  find_package(Catch2 2 REQUIRED)
  include(Catch)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  add_executable(${name} ${sources})
  target_link_libraries(${name} PRIVATE culvert_warnings Catch2::Catch2WithMain Threads::Threads ${ARGN})
  catch_discover_tests(${name} PROPERTIES LABELS ${label} TIMEOUT ${test_seconds_${label}})
endfunction()
