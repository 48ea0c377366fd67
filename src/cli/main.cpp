#include "cli/cli.h"

int main(int argc, char** argv) { return tnl::run_cli(argc, argv); }
