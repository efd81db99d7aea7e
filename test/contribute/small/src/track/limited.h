// A number, limited.
#pragma once

int limited(int number);
int unlimited(int number);
