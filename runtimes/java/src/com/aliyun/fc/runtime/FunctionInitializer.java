package com.aliyun.fc.runtime;

import java.io.IOException;

/** Runs once before the first call. */
public interface FunctionInitializer {
    void initialize(Context context) throws IOException;
}
