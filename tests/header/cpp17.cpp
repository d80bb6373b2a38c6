// The header in C++17, with smart pointers for handles.

#include <fcgipm.h>

#include <iostream>
#include <memory>
#include <string_view>

int main() {
    std::unique_ptr<fcgipm_options, decltype(&fcgipm_options_free)> options(fcgipm_options_new(),
                                                                            fcgipm_options_free);
    static_assert(FCGIPM_EARGUMENT < 0 && FCGIPM_EVENT_IN_WORKER == 1);
    if (!options || fcgipm_options_set(options.get(), "log", "syslog") != FCGIPM_EVALUE) {
        return 1;
    }
    const std::string_view message = fcgipm_last_error_message();
    if (message != "option log: 'syslog' is not one of: stderr, none, or the absolute path of a file") {
        std::cerr << message << '\n';
        return 1;
    }
    std::cout << fcgipm_version() << '\n';
}
