/* SPDX-License-Identifier: GPL-2.0 */
#ifndef NFT_H
#define NFT_H

/* Runs nft with a ruleset on its standard input, and with up to four words.
 * @output is set to all that it printed, for free(). Returns its exit status, or
 * -1 when there is no nft.
 */
int nft(const char *input, char **output, const char *const words[]);

#endif
