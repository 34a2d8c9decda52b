/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SHIELD_H
#define SHIELD_H

/* Tells the shield, where there is one, of the pools that there are now. Returns a
 * status.
 */
int shield_renew(void);

#endif
