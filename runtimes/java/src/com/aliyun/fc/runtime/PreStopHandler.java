package com.aliyun.fc.runtime;

import java.io.IOException;

/** Runs before the instance ends. */
public interface PreStopHandler {
    void preStop(Context context) throws IOException;
}
