/* A made-up resource: what a new kind is tried out with. */
#pragma once
#ifdef __cplusplus
extern "C" {
#endif
int widget_make(int size);        /* its number, or -1 with errno */
int widget_give_back(int widget); /* 0, or -1 with errno */
#ifdef __cplusplus
}
#endif
