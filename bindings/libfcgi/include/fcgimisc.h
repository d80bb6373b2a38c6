/* fcgimisc.h: small names that libfcgi's own programs use. */

#ifndef _FCGIMISC_H
#define _FCGIMISC_H

#ifndef FALSE
#define FALSE (0)
#endif

#ifndef TRUE
#define TRUE  (1)
#endif

/* Both evaluate one argument twice. */
#ifndef min
#define min(a,b) ((a) < (b) ? (a) : (b))
#endif

#ifndef max
#define max(a,b) ((a) > (b) ? (a) : (b))
#endif

/* Needs assert.h. */
#ifndef ASSERT
#define ASSERT(assertion) assert(assertion)
#endif

#endif
