/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Units of time: all times in this library are nanoseconds where nothing else is said. */
#ifndef BRIDGE_TIME_H
#define BRIDGE_TIME_H

#include <stdint.h>

#define MS UINT64_C(1000000)
#define S  (1000 * MS)

#endif
