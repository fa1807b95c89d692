# SPDX-License-Identifier: MIT OR Apache-2.0
#
# What is installed besides the plugin, and the packages for Debian (cpack -G DEB):
#
#   P2PANDA_DEBIAN_SUITE   which suite a package is for; the self-contained plugin (P2PANDA_STATIC)
#                          has one for each, the shared one that of the suite it was built in

set(P2PANDA_DEBIAN_SUITE "forky" CACHE STRING "for cpack: bookworm, trixie or forky")
set_property(CACHE P2PANDA_DEBIAN_SUITE PROPERTY STRINGS bookworm trixie forky)

configure_file(docs/mosquitto_p2panda.7.in mosquitto_p2panda.7 @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/mosquitto_p2panda.7 DESTINATION ${CMAKE_INSTALL_MANDIR}/man7)
configure_file(docs/mosquitto_ctrl_p2panda.1.in mosquitto_ctrl_p2panda.1 @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/mosquitto_ctrl_p2panda.1
  DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)

if(P2PANDA_PACKAGE)
  # Mosquitto's own plugins moved into a folder of theirs, and left links: so that the
  # configuration is the same for all suites, and an upgrade to the next one changes nothing in it.
  string(REGEX REPLACE "/mosquitto$" "" dir "${P2PANDA_PLUGIN_DIR}")
  set(P2PANDA_PLUGIN_PATH "/usr/${dir}/mosquitto_p2panda.so")
  if(NOT dir STREQUAL P2PANDA_PLUGIN_DIR)
    file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/link)
    file(CREATE_LINK mosquitto/mosquitto_p2panda.so
      ${PROJECT_BINARY_DIR}/link/mosquitto_p2panda.so SYMBOLIC)
    install(FILES ${PROJECT_BINARY_DIR}/link/mosquitto_p2panda.so DESTINATION ${dir})
  endif()
  configure_file(packaging/debian/p2panda.conf.in p2panda.conf @ONLY)
  configure_file(packaging/debian/copyright.in copyright COPYONLY)
  file(WRITE ${PROJECT_BINARY_DIR}/conffiles "/etc/mosquitto/conf.d/p2panda.conf\n")
  install(FILES ${PROJECT_BINARY_DIR}/p2panda.conf DESTINATION /etc/mosquitto/conf.d)
  install(FILES ${PROJECT_BINARY_DIR}/copyright CHANGELOG.md ${P2PANDA_NOTICES}
    DESTINATION ${CMAKE_INSTALL_DOCDIR})
endif()

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME mosquitto-p2panda)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_CONTACT "the authors of mosquitto-p2panda <mosquitto-p2panda@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "makes the Mosquitto broker a node of the p2panda network")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
"MQTT clients subscribe and publish to topics p2panda/<64 hex digits>; each is a
gossip overlay, shared with every other broker that has the plugin and with
applications built on the Rust crates p2panda-net and p2panda. Brokers of several
sites talk without a hub between them.")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_SET_DESTDIR OFF)
set(CPACK_STRIP_FILES OFF)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${PROJECT_BINARY_DIR}/conffiles
  ${PROJECT_SOURCE_DIR}/packaging/debian/preinst ${PROJECT_SOURCE_DIR}/packaging/debian/postinst
  ${PROJECT_SOURCE_DIR}/packaging/debian/postrm)
# Of the same version a newer suite's is the newer package.
set(revision_forky 1)
set(revision_trixie 1~deb13)
set(revision_bookworm 1~deb12)
set(CPACK_DEBIAN_PACKAGE_RELEASE ${revision_${P2PANDA_DEBIAN_SUITE}})
if(P2PANDA_STATIC)
  set(CPACK_DEBIAN_PACKAGE_DEPENDS "libc6 (>= 2.34), mosquitto (>= 2.0.11)")
else()
  set(CPACK_DEBIAN_PACKAGE_DEPENDS "mosquitto (>= 2.1)")
  if(P2PANDA_DEPENDS) # packaging/shared.sh
    string(APPEND CPACK_DEBIAN_PACKAGE_DEPENDS ", ${P2PANDA_DEPENDS}")
  endif()
endif()
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS ca-certificates)
if(CMAKE_SYSTEM_PROCESSOR STREQUAL aarch64)
  set(CPACK_DEBIAN_PACKAGE_ARCHITECTURE arm64)
endif()
include(CPack)
