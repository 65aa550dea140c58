# Targets for each command: a build compiles only what the command runs.

# ./tools/demo and ./tools/demo --vm. tests/demo_target_test.py keeps tests out of the first.
add_custom_target(demo DEPENDS sluiced sluice sluiceadm)
add_custom_target(demo_vm DEPENDS demo api_client sluice-bench streams)

# sluice_needs(LABEL TARGET...): tests with this label run these; `tests_LABEL` builds them.
function(sluice_needs label)
  if(NOT TARGET tests_${label})
    add_custom_target(tests_${label})
  endif()
  add_dependencies(tests_${label} ${ARGN})
endfunction()
