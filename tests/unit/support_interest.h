/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A broker as interest sees it, for tests of what stands above that. */
#ifndef TESTS_UNIT_SUPPORT_INTEREST_H
#define TESTS_UNIT_SUPPORT_INTEREST_H

#include "plugin/interest.h"

/* Everything is allowed, clients are nobody's and have sessions, overlays are joined, nothing is
 * recorded. Whoever is denied something, is over a limit or gives way fails the test. */
struct interest_actions support_actions(void);

#endif
